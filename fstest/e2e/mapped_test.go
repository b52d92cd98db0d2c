package e2e

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStoreWithoutTrace stores again to a page of a file that stays mapped and is
// committed meanwhile as it is: the filesystem notes no time for that, and there is
// no close after it.
func TestStoreWithoutTrace(t *testing.T) {
	t.Parallel()
	for name, args := range dataPaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storeWithoutTrace(t, args)
		})
	}
}

func storeWithoutTrace(t *testing.T, args []string) {
	m := newMirror(t)
	m.Mount(args...)
	check(t, put(m, "f", "first version"))
	m.Run("wait", "--committed")
	f, err := os.OpenFile(m.Path("f"), os.O_RDWR, 0)
	check(t, err)
	memory, err := mapShared(int(f.Fd()), 13)
	check(t, errors.Join(err, f.Close()))
	copy(memory, "second")
	if !m.Status().Passthrough {
		check(t, unix.Msync(memory, unix.MS_SYNC)) // the kernel keeps it for itself
	}
	eventually(t, "a commit of the mapped file", func() bool { return m.Git("show", "main:f") == "secondversion" })
	copy(memory, "third ")
	check(t, unix.Munmap(memory))
	m.Run("wait", "--committed")
	check(t, sameAsHead(m, nil))
}
