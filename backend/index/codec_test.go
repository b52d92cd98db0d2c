package index

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

func TestCodec(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := gen{rand.New(rand.NewPCG(seed, 0))}
	for range 2000 {
		s := Slot{Parent: g.id(), Name: "name"}
		n := g.node(s)
		b := encodeNode(&n)
		got, err := decodeNode(s, b)
		if err != nil || !reflect.DeepEqual(got, n) {
			t.Fatalf("%+v became %+v, %v", n, got, err)
		}
		if _, err := decodeNode(Slot{Name: "name"}, b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("another slot's node: %v", err)
		}
		i := g.IntN(len(b))
		b[i] ^= byte(1 + g.IntN(255))
		if _, err := decodeNode(s, b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := decodeNode(s, b[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

// FuzzDecodeNode gives bodies a right checksum, so that the decoder behind it
// is what is tested.
func FuzzDecodeNode(f *testing.F) {
	g := gen{rand.New(rand.NewPCG(1, 2))}
	for range 8 {
		n := g.node(Slot{})
		b := encodeNode(&n)
		f.Add(b[:len(b)-4])
	}
	f.Add([]byte{hasTags, byte(object.File), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.LittleEndian.AppendUint32(append([]byte(nil), body...), checksum(Slot{}, body))
		n, err := decodeNode(Slot{}, b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeNode(Slot{}, encodeNode(&n))
		if err != nil {
			t.Fatalf("%+v does not decode after encoding: %v", n, err)
		}
		if !reflect.DeepEqual(normal(n), normal(again)) {
			t.Fatalf("%+v became %+v", n, again)
		}
	})
}

// normal makes empty lists nil: they encode alike.
func normal(n Node) Node {
	if len(n.Xattrs) == 0 {
		n.Xattrs = nil
	}
	if len(n.Tags) == 0 {
		n.Tags = nil
	}
	return n
}
