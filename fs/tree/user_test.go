package tree

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// asUser runs tests again as an ordinary user.
func asUser(t *testing.T, run string) {
	t.Helper()
	const nobody = 65534
	tmp := filepath.Join(t.TempDir(), "user")
	check(t, os.Mkdir(tmp, 0o755))
	check(t, os.Chown(tmp, nobody, nobody))
	for dir := tmp; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		check(t, os.Chmod(dir, 0o755))
	}
	runAgain(t, run, tmp, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
}

// TestOrdinaryUser repeats what depends on privileges.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 || inChild() {
		return // everything runs as an ordinary user already
	}
	asUser(t, "^(TestPlace.*|TestSetAttr|TestNamesAre.*|TestReplaceBy.*|TestRootMark|TestReadlink.*|TestConcurrent.*)$")
}
