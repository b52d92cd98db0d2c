package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck damages a segment under an open journal: Check says which records,
// and after a checkpoint all is well again, with every mark.
func TestCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, path := range []string{"one", "two", "three"} {
		op, err := j.Begin(Record{Kind: KindCreate, Resource: "r", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		op.End(nil)
	}
	wantCheck(t, j)
	segment := filepath.Join(dir, j.cur.name)
	for name, spoil := range map[string]func(data []byte) []byte{
		"records 2 to 2":                  func(data []byte) []byte { data[strings.Index(string(data), "two")] ^= 1; return data },
		"records 3 to 3":                  func(data []byte) []byte { return data[:len(data)-1] },
		"records 1 to 3":                  func(data []byte) []byte { return data[:headerSize] },
		"header of segment " + j.cur.name: func(data []byte) []byte { data[0] ^= 1; return data },
	} {
		whole, err := os.ReadFile(segment)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, segment, spoil(append([]byte(nil), whole...)))
		wantCheck(t, j, name)
		rewrite(t, segment, whole)
		wantCheck(t, j)
	}
	if err := os.Truncate(segment, 0); err != nil {
		t.Fatal(err)
	}
	if err := j.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, j)
	if n := j.Pending("r"); n != 3 {
		t.Errorf("%d marks after the checkpoint, not 3", n)
	}
}

func rewrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantCheck compares what Check finds with the beginnings of what it should.
func wantCheck(t *testing.T, j *Journal, want ...string) {
	t.Helper()
	var got []string
	if err := j.Check(func(text string) { got = append(got, text) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("found %q, want %q", got, want)
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("found %q, want %q", got[i], want[i])
		}
	}
}
