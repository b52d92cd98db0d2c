package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// TestStrayMarks: a mark that cannot be settled because the journal was not told of
// another change, which never happens through a mount, is settled by a scan.
func TestStrayMarks(t *testing.T) {
	log := &tailLog{}
	m := openJournaled(t, t.TempDir(), log)
	m.write("a/d/f", "1")
	m.sync()
	must(t, os.Rename(filepath.Join(m.dir, "a"), filepath.Join(m.dir, "b")))
	c := &changer{journaled: m}
	c.rename("b/d", "d", 0)
	if err := m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}); err != nil {
		t.Fatalf("%v\nmarks: %+v\nlog:\n%s", err, m.journal.Snapshot("mirror"), log)
	}
	if names := m.git("ls-tree", "-r", "--name-only", "HEAD"); !strings.Contains(names, "d/f") || strings.Contains(names, "a/d/f") {
		t.Fatalf("the head has\n%s", names)
	}
}
