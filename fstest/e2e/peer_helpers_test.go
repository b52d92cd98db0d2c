package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// mounted makes two mounted mirrors that are connected.
func mounted(t *testing.T) (a, b *fstest.Mirror, host *sshd.Server) {
	t.Helper()
	a, b, host = pairOf(t)
	a.Mount()
	b.Mount()
	connect(t, a, b, host)
	mirrored(a, b)
	return a, b, host
}

// same waits until two connected mirrors show the same, and checks that it is
// the same history.
func same(t *testing.T, a, b *fstest.Mirror) {
	t.Helper()
	mirrored(a, b)
	fstest.Same(t, a.Dir, b.Dir)
	if x, y := a.Head(), b.Head(); x != y {
		t.Errorf("heads differ: %s, %s", x, y)
	}
}

// meet waits until mirrors that exchange by themselves have one head and show
// the same: nothing but time brings them there.
func meet(t *testing.T, mirrors ...*fstest.Mirror) {
	t.Helper()
	settle := func() { // also what is being applied
		for _, m := range mirrors {
			m.Run("wait", "--committed")
		}
	}
	settle()
	met := false
	defer func() {
		for _, m := range mirrors {
			if !met {
				t.Logf("status of %s:\n%s", m.Dir, m.Run("status"))
			}
		}
	}()
	eventually(t, "one head on all mirrors", func() bool {
		want := mirrors[0].Status().Resources[0]
		for _, m := range mirrors {
			if r := m.Status().Resources[0]; r.Head != want.Head || r.Head == "" || r.Pending > 0 || len(r.Waiting) > 0 {
				return false
			}
		}
		return true
	})
	met = true
	settle()
	for _, m := range mirrors[1:] {
		fstest.Same(t, mirrors[0].Dir, m.Dir)
	}
}

// patience is after how long a thing that has not happened never will: not a
// measure of speed.
const patience = 2 * time.Minute

// eventually returns once something is so that no command waits for.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// refused runs a command that must fail, and checks what it says.
func refused(t *testing.T, m *fstest.Mirror, args []string, says ...string) string {
	t.Helper()
	out, err := m.Try(args...)
	if err == nil {
		t.Fatalf("smfs %s succeeded:\n%s", strings.Join(args, " "), out)
	}
	contains(t, out, says...)
	return out
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return string(data)
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s exists (%v)", path, err)
	}
}

// conflicts is `smfs conflicts --json`.
func conflicts(t *testing.T, m *fstest.Mirror) (list []struct{ Path, Of string }) {
	t.Helper()
	out := m.Run("conflicts", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("conflicts: %v\n%s", err, out)
	}
	return list
}

// peers is `smfs peer list --json`.
func peers(t *testing.T, m *fstest.Mirror) (list []struct{ Name, URL, State, Error string }) {
	t.Helper()
	out := m.Run("peer", "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("peers: %v\n%s", err, out)
	}
	return list
}

// versions are the contents of all files directly in dir, smfs's own left out.
func versions(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	out := map[string]string{}
	for _, e := range entries {
		if e.Type().IsRegular() {
			out[e.Name()] = content(t, filepath.Join(dir, e.Name()))
		}
	}
	return out
}
