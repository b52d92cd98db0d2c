package backend

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"time"
)

func TestNewestFirst(t *testing.T) {
	history := func(resource string, err error, times ...int64) iter.Seq2[Version, error] {
		return func(yield func(Version, error) bool) {
			for _, at := range times {
				if !yield(Version{Resource: resource, Time: time.Unix(at, 0)}, nil) {
					return
				}
			}
			if err != nil {
				yield(Version{}, err)
			}
		}
	}
	list := func(limit int, histories ...iter.Seq2[Version, error]) (string, error) {
		var got []string
		for v, err := range newestFirst(histories) {
			if err != nil {
				return strings.Join(got, ""), err
			}
			if got = append(got, v.Resource); len(got) == limit {
				break
			}
		}
		return strings.Join(got, ""), nil
	}
	a, b, none := history("a", nil, 9, 5, 1), history("b", nil, 8, 7, 6, 2), history("c", nil)
	if got, err := list(0, a, b, none); got != "abbbaba" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := list(2, none, b, a); got != "ab" || err != nil {
		t.Errorf("two: %s, %v", got, err)
	}
	damage := errors.New("damage")
	d := history("d", damage, 6)
	for _, all := range [][]iter.Seq2[Version, error]{{a, d}, {d, a}} {
		if got, err := list(0, all...); got != "ad" || !errors.Is(err, damage) {
			t.Errorf("damaged: %s, %v", got, err)
		}
	}
}
