package store

import (
	"bytes"
	"compress/zlib"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// putLoose writes a loose object whose file holds data, deflated or as it is.
func putLoose(t *testing.T, objects string, data []byte, deflate bool) [20]byte {
	t.Helper()
	if deflate {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		if _, err := z.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	id := [20]byte{1, 2, 3}
	name := loosePath(objects, id)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestReadLoose(t *testing.T) {
	long := string(randomBytes(1, 300_000)) // does not shrink: longer than looseStart
	for name, c := range map[string]struct {
		data    string
		deflate bool
		want    error
	}{
		"blob": {"blob 3\x00abc", true, nil}, "empty": {"blob 0\x00", true, nil}, "long": {"blob 300000\x00" + long, true, nil},
		"not deflated": {"blob 3\x00abc", false, ErrBadPack}, "no bytes": {"", false, ErrBadPack}, "no header": {"", true, ErrBadPack}, "no size": {"blob ", true, ErrBadPack},
		"delta": {"ofs-delta 3\x00abc", true, ErrBadPack}, "other type": {"blub 3\x00abc", true, ErrBadPack}, "negative": {"blob -3\x00abc", true, ErrBadPack}, "no number": {"blob x\x00abc", true, ErrBadPack},
		"shorter": {"blob 4\x00abc", true, ErrBadPack}, "longer": {"blob 2\x00abc", true, ErrBadPack}, "too large": {"blob 999999\x00abc", true, ErrTooLarge},
	} {
		objects := t.TempDir()
		id := putLoose(t, objects, []byte(c.data), c.deflate)
		kind, data, err := readLoose(objects, id, 500_000)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, text, _ := bytes.Cut([]byte(c.data), []byte{0}); err == nil && (kind != object.TypeBlob || !bytes.Equal(data, text)) {
			t.Errorf("%s: %s %.20q", name, kind, data)
		}
	}
}

// A header without an end does not fill the memory.
func TestLooseHeaderBomb(t *testing.T) {
	objects := t.TempDir()
	id := putLoose(t, objects, bytes.ReplaceAll(randomBytes(1, 1<<20), []byte(" "), nil), true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := readLoose(objects, id, 1<<20)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrBadPack) {
		t.Errorf("%v, want ErrBadPack", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}
