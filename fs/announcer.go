package fs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// verb is what the announcer does in the mount, so that the kernel tells
// programs that watch.
type verb uint8

const (
	verbNone   verb = iota
	verbProve       // look for a name in the root: the daemon sees whose mount it is
	verbCreate      // make it: IN_CREATE; of a file IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE too
	verbModify      // write it: IN_MODIFY; of a file IN_OPEN, IN_CLOSE_WRITE too
	verbDelete      // remove it: IN_DELETE
	verbLeave       // look at what it held: IN_DELETE_SELF, once that has no name left
	verbTouch       // set its mtime: IN_MODIFY
	verbAttr        // set its times: IN_ATTRIB
)

// byName says that a ghost stands for the name.
func (v verb) byName() bool { return v == verbCreate || v == verbModify || v == verbDelete }

// byInode says that it acts on the inode itself.
func (v verb) byInode() bool { return v == verbTouch || v == verbAttr }

// order is a line to the announcer: verb, type, directory, name.
type order struct {
	verb verb
	mode uint32
	dir  string // path from the root of the mount, "." for the root
	name string
}

func encodeOrder(o order) string {
	return fmt.Sprintf("%d %o %q %q\n", o.verb, o.mode, o.dir, o.name)
}

func decodeOrder(line string) (order, error) {
	var o order
	if _, err := fmt.Sscanf(line, "%d %o %q %q\n", &o.verb, &o.mode, &o.dir, &o.name); err != nil {
		return order{}, fmt.Errorf("read an order: %w", err)
	}
	return o, nil
}

// What the announcer answers, or else an errno in decimal.
const (
	saidOK    = "ok"
	saidOther = "other" // it is not the daemon's mount that is there
)

// refused is why the announcer could not do something.
type refused unix.Errno

func (r refused) Error() string { return unix.Errno(r).Error() }

// errOther: at the mount point is something else than the mount that was proven
// to be the daemon's.
var errOther = errors.New("another mount")

// Announce is the announcer, a process of its own: it takes orders from in, one
// a line, does each in the mount at dir, and answers to out. It must run on the
// process's first thread. It ends with in, or when what is mounted at dir is not
// the mount that it met first.
func Announce(dir string, in io.Reader, out io.Writer) error {
	if unix.Gettid() != unix.Getpid() {
		return errors.New("announce: not on the first thread")
	}
	a := &announcer{root: dir}
	orders := bufio.NewReader(in)
	for {
		line, err := orders.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		o, err := decodeOrder(line)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, answer(a.do(o))); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

func answer(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return saidOK
	case errors.As(err, &errno):
		return strconv.Itoa(int(errno))
	}
	return saidOther
}

// answered is the error of an answer.
func answered(line string) error {
	line = strings.TrimSpace(line)
	if line == saidOK {
		return nil
	}
	if n, err := strconv.Atoi(line); err == nil && n > 0 {
		return refused(n)
	}
	return errOther
}

// announcer holds nothing open between two orders: a mount that is in use cannot
// be unmounted.
type announcer struct {
	root  string
	mount uint64 // unique id of the mount: the kernel gives it to no other one
}

func (a *announcer) do(o order) error {
	root, err := a.open()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if o.verb == verbProve {
		var st unix.Stat_t
		return ignore(unix.ENOENT, unix.Fstatat(root, o.name, &st, unix.AT_SYMLINK_NOFOLLOW))
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	dir, err := unix.Openat2(root, o.dir, &how)
	for err == unix.EINTR || err == unix.EAGAIN { // a rename raced with the walk
		dir, err = unix.Openat2(root, o.dir, &how)
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return o.act(dir)
}

// open opens the root of the mount, and makes sure that it is the one of the
// first time. It asks the kernel alone.
func (a *announcer) open() (int, error) {
	fd, err := unix.Open(a.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	id, err := uniqueMount(fd)
	if err == nil && a.mount == 0 {
		a.mount = id
	}
	if err == nil && id != a.mount {
		err = errOther
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// uniqueMount is the id of a mount that is never given to another one. EOPNOTSUPP:
// before Linux 6.8.
func uniqueMount(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID_UNIQUE, &st); err != nil {
		return 0, err
	}
	if st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return 0, unix.EOPNOTSUPP
	}
	return st.Mnt_id, nil
}

func (o order) act(dir int) error {
	switch o.verb {
	case verbCreate:
		return o.create(dir)
	case verbModify:
		return o.modify(dir)
	case verbDelete:
		flags := 0
		if o.mode == unix.S_IFDIR {
			flags = unix.AT_REMOVEDIR
		}
		return o.met(dir, func() error { return unix.Unlinkat(dir, o.name, flags) })
	case verbLeave:
		fd, err := unix.Openat(dir, o.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	case verbTouch:
		return touch(dir, o.name, unix.AT_SYMLINK_NOFOLLOW, unix.Timespec{Nsec: unix.UTIME_OMIT})
	case verbAttr:
		return touch(dir, o.name, unix.AT_SYMLINK_NOFOLLOW, unix.Timespec{})
	}
	return unix.EINVAL
}

func (o order) create(dir int) error {
	switch o.mode {
	case unix.S_IFDIR:
		return unix.Mkdirat(dir, o.name, 0o700)
	case unix.S_IFLNK:
		return unix.Symlinkat(".", dir, o.name)
	}
	return write(dir, o.name, unix.O_CREAT|unix.O_EXCL)
}

func (o order) modify(dir int) error {
	return o.met(dir, func() error {
		if o.mode == unix.S_IFREG {
			return write(dir, o.name, 0)
		}
		return touch(dir, o.name, unix.AT_SYMLINK_NOFOLLOW, unix.Timespec{Nsec: unix.UTIME_OMIT})
	})
}

// tries is how often a name that others look at meanwhile is met anew.
const tries = 3

// met does something with a ghost. Whatever the kernel knows of the name, it
// asks anew for what must not exist yet.
func (o order) met(dir int, act func() error) error {
	for i := 1; ; i++ {
		if err := unix.Mkdirat(dir, o.name, 0o700); err != unix.EEXIST {
			return err
		}
		if err := act(); err != unix.ENOENT || i == tries {
			return err
		}
	}
}

// write opens, touches and closes a file, and writes nothing.
func write(dir int, name string, flags int) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return err
	}
	err = touch(fd, "", unix.AT_EMPTY_PATH, unix.Timespec{Nsec: unix.UTIME_OMIT})
	return errors.Join(err, unix.Close(fd))
}

// touch sets the mtime to some time, and the atime.
func touch(dir int, name string, flags int, atime unix.Timespec) error {
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{atime, {}}, flags)
}

func ignore(what, err error) error {
	if err == what {
		return nil
	}
	return err
}
