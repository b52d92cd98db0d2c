package journal

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// someRecord returns a random valid record.
func someRecord(rnd *rand.Rand, seq uint64) Record {
	text := func(limit int) string { return strings.Repeat("\xff/n", limit)[:rnd.IntN(limit+1)] }
	return Record{
		Seq:      seq,
		Kind:     Kind(1 + rnd.IntN(int(kindEnd)-1)),
		Time:     time.Unix(0, rnd.Int64()),
		Resource: text(maxResource),
		Key:      FileKey{Ino: rnd.Uint64(), Gen: rnd.Uint64()},
		Path:     text(rnd.IntN(maxPath)),
		To:       text(rnd.IntN(300)),
		Actor:    Actor{UID: rnd.Uint32(), PID: rnd.Uint32(), Command: text(maxCommand)},
		aux:      rnd.Uint64(),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 500 {
		want := someRecord(rnd, rnd.Uint64())
		b := appendRecord(nil, &want)
		got, size, err := decodeRecord(append(b, "what follows"...))
		if err != nil || size != len(b) || got != want {
			t.Fatalf("%+v became %+v, %d of %d bytes, %v", want, got, size, len(b), err)
		}
		for _, cut := range []int{0, 3, frameSize, len(b) - 1} {
			if _, _, err := decodeRecord(b[:cut]); err == nil {
				t.Fatalf("the first %d of %d bytes pass", cut, len(b))
			}
		}
		b[rnd.IntN(len(b))] ^= byte(1 << rnd.IntN(8))
		if _, _, err := decodeRecord(b); err == nil {
			t.Fatalf("a flipped bit passes: %+v", want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for seq := range uint64(4) {
		r := someRecord(rnd, seq)
		r.Path = r.Path[:min(len(r.Path), 20)]
		f.Add(appendRecord(nil, &r))
	}
	f.Add(make([]byte, 200))
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, size, err := decodeRecord(b)
		if err != nil {
			return
		}
		if again := appendRecord(nil, &r); !bytes.Equal(again, b[:size]) {
			t.Fatalf("%x was read as %+v, which is written as %x", b[:size], r, again)
		}
	})
}

// FuzzSegment replays any bytes as the only segment: no panic, and what is
// read once is read again, after the journal has gone on.
// (Fuzz with -fuzzminimizetime 1x: the order of maps makes coverage vary, and
// the fuzzer would do nothing but minimize.)
func FuzzSegment(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	good := appendHeader(nil, 1)
	for seq := range uint64(5) {
		r := someRecord(rnd, seq+1)
		r.Kind = KindFound
		r.Path = r.Path[:min(len(r.Path), 20)]
		good = appendRecord(good, &r)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(bytes.Clone(good[:200]), good[400:]...))
	f.Add(append(bytes.Clone(good), make([]byte, 4096)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		files := newSimFiles(rnd)
		files.names[segmentName(1)] = &simFile{dir: files, data: data}
		j, err := open(files, Options{})
		if err != nil {
			return
		}
		if err := j.Found("after", "path"); err != nil && !j.Recovery().Damaged {
			t.Fatal(err)
		}
		want := map[string]int{}
		for name := range j.sets {
			want[name] = j.Pending(name)
		}
		j, err = open(files.restart(false), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range want {
			if got := j.Pending(name); got != n {
				t.Fatalf("resource %q has %d marks, had %d", name, got, n)
			}
		}
	})
}
