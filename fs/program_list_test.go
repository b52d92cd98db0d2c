package fs

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// programWrite PATH TEXT overwrites the beginning of a file.
func programWrite(a []string) error {
	f, err := os.OpenFile(a[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(a[1])
	return errors.Join(err, f.Close())
}

// programCreate PATH TEXT makes a new file.
func programCreate(a []string) error {
	f, err := os.OpenFile(a[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(a[1])
	return errors.Join(err, f.Close())
}

func programRead(a []string) error {
	b, err := os.ReadFile(a[0])
	fmt.Print(string(b))
	return err
}

func programList(a []string) error {
	entries, err := os.ReadDir(a[0])
	for _, e := range entries {
		fmt.Println(e.Name())
	}
	return err
}

func programListxattr(a []string) error {
	b := make([]byte, 1<<16)
	n, err := unix.Listxattr(a[0], b)
	if err == nil {
		fmt.Print(strings.ReplaceAll(string(b[:n]), "\x00", "\n"))
	}
	return err
}

// programSetxattr PATH NAME VALUE sets an attribute; the value is in hex.
func programSetxattr(a []string) error {
	value, err := hex.DecodeString(a[2])
	if err != nil {
		return err
	}
	return unix.Setxattr(a[0], a[1], value, 0)
}

// programMmap PATH TEXT writes through a shared mapping after the file has been
// closed, and checks that read(2) sees it.
func programMmap(a []string) error {
	fd, err := unix.Open(a[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, 0, len(a[1]), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return err
	}
	copy(mem, a[1])
	b, err := os.ReadFile(a[0])
	if err == nil && !strings.HasPrefix(string(b), a[1]) {
		err = fmt.Errorf("read %q beside the mapping", b)
	}
	return errors.Join(err, unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem))
}

// programHold opens PATH, says so, and holds it until its input ends.
func programHold(a []string) error {
	f, err := os.Open(a[0])
	if err != nil {
		return err
	}
	fmt.Println("holding")
	_, err = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	return errors.Join(err, f.Close())
}

// programDaemon DIR JOURNAL mounts over DIR, says so, and serves until it is
// killed.
func programDaemon(a []string) error {
	fd, err := unix.Open(a[0], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t, err := tree.Open(fd, tree.Options{Resource: "mirror"})
	if err != nil {
		return err
	}
	j, err := journal.Open(a[1], journal.Options{})
	if err != nil {
		return err
	}
	m, err := New(Options{Base: fd, Dir: a[0], Journal: j, Resources: []ResourceRoot{{Name: "mirror", Tree: t}}})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	m.Wait()
	return nil
}

// programMmapOpen PATH TEXT writes through a shared mapping of a file that stays
// open, and whose attributes the kernel has just been asked for.
func programMmapOpen(a []string) error {
	fd, err := unix.Open(a[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, 0, len(a[1]), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if _, err := os.Stat(a[0]); err != nil {
		return err
	}
	copy(mem, a[1])
	return errors.Join(unix.Msync(mem, unix.MS_SYNC), unix.Munmap(mem), unix.Close(fd))
}

// programAnnounce DIR is the announcer of a mount.
func programAnnounce(a []string) error { return Announce(a[0], os.Stdin, os.Stdout) }
