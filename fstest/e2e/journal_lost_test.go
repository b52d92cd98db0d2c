package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestJournalLost takes the journal away beneath a daemon that is killed then: the
// next one does not trust what it finds, and compares all files.
func TestJournalLost(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	check(t, put(m, "one", "1"))
	m.Run("wait", "--committed")
	segments, err := filepath.Glob(beneath(t, m) + "/journal/*.journal")
	check(t, err)
	for _, file := range segments {
		check(t, os.Remove(file))
	}
	check(t, put(m, "one", "edited"))
	m.Kill()
	m.Mount()
	m.Run("wait", "--committed")
	if got := m.Git("show", "main:one"); got != "edited" {
		t.Errorf("committed is %q", got)
	}
}
