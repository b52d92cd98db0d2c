package tags

import (
	"slices"
	"testing"
)

func dot(writer string, seq uint64) Dot { return Dot{Writer: writer, Seq: seq} }

func TestSet(t *testing.T) {
	var empty Set
	if empty.Names() != nil || empty.Has("a") || !empty.Equal(Set{}) {
		t.Error("the zero value is not the empty set")
	}
	b := empty.With("b", dot("w", 1))
	abc := b.With("c", dot("w", 2)).With("a", dot("w", 3))
	if got := abc.Names(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("Names = %q", got)
	}
	if got := b.Names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("With changed its receiver: %q", got)
	}
	again := abc.With("b", dot("x", 9))
	if want := (Set{{"a", []Dot{dot("w", 3)}}, {"b", []Dot{dot("x", 9)}}, {"c", []Dot{dot("w", 2)}}}); !again.Equal(want) {
		t.Errorf("With of a tag that is there: %v, want %v", again, want)
	}
	if again.Equal(abc) || abc.Equal(b) {
		t.Error("Equal does not see dots or length")
	}
	ac := abc.Without("b")
	if got := ac.Names(); !slices.Equal(got, []string{"a", "c"}) || len(abc) != 3 || abc[1].Name != "b" {
		t.Errorf("Without = %q, and left %v", got, abc)
	}
	if got := abc.Without("zzz"); !got.Equal(abc) {
		t.Errorf("Without of nothing = %v", got)
	}
	if got := b.Without("b"); got != nil {
		t.Errorf("Without of the last tag = %v, want nil", got)
	}
}
