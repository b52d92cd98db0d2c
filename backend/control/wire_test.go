package control

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/silvermirror/smfs/backend"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", odd, "\x1a", "\x1affz", "\xe9\x1a", "\u2028é", "\x1azz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := escape(s)
		if !utf8.ValidString(e) {
			t.Errorf("escape(%q) = %q", s, e)
		}
		if got := unescape(e); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
		v := backend.TagOptions{Paths: []string{s, "x"}, Tags: nil}
		data, err := marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got backend.TagOptions
		if err := unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%#v came back as %#v, %v", v, got, err)
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	var whole bytes.Buffer
	for _, p := range []string{"", "x", "a longer payload"} {
		if err := writeFrame(&whole, frameItem, []byte(p)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(whole.Bytes())
	f.Add([]byte{frameEnd, 0, 0, 0})
	f.Add([]byte{frameData, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var again bytes.Buffer
		var buf []byte
		for {
			kind, payload, err := readFrame(r, buf)
			if err != nil {
				if errors.Is(err, io.EOF) {
					t.Errorf("an end of input is %v, want ErrCutOff", err)
				}
				break
			}
			if err := writeFrame(&again, kind, payload); err != nil {
				t.Fatal(err)
			}
			buf = payload[:0]
		}
		if !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("%q read as %q", data, again.Bytes())
		}
	})
}

// A reply that ends without its last frame is a failure, whatever came before.
func TestCutOff(t *testing.T) {
	var b bytes.Buffer
	if err := writeFrame(&b, frameItem, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() {
		if _, _, err := readFrame(bytes.NewReader(b.Bytes()[:n]), nil); !errors.Is(err, ErrCutOff) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}
