package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// GiveToOwner gives what root has made in the state directory dir to the owner of
// the directory that it is in: after a mount by root that one can mount, too. It
// does nothing for anybody but root.
func GiveToOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	mirror, err := os.Stat(dir + "/..")
	if err != nil {
		return fmt.Errorf("find the owner of the mirror: %w", err)
	}
	owner, ok := mirror.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the state directory: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			err = giveTo(root, name, int(owner.Uid), int(owner.Gid))
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("give the state directory to uid %d: %w", owner.Uid, err)
	}
	return nil
}

// giveTo gives away one file or directory of root's. The owner of the directory
// may change names meanwhile: what is opened is looked at, and a file that has
// another name somewhere is not root's to give away.
func giveTo(root *os.Root, name string, uid, gid int) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 || info.Mode().IsRegular() && st.Nlink > 1 || !info.IsDir() && !info.Mode().IsRegular() {
		return nil
	}
	return f.Chown(uid, gid)
}
