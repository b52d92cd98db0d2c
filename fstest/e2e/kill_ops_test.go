package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// mostNames is about how many names a writer keeps.
const mostNames = 60

var (
	// Names that git, shells or peers find hard are among them.
	fileNames = []string{"a.txt", "b.go", "c", "d.tmp", "e~", ".hidden", "sp ace", "new\nline", "%41x", "git~1", "\xff\xfe", "ünï", "-dash", `back\slash`, "CON", "trailing."}
	dirNames  = []string{"src", "doc", "x", "y", ".cache", "%2e", "Ω"}
	fileModes = []uint32{0o644, 0o600, 0o755, 0o444, 0o640, 0o400}
	dirModes  = []uint32{0o755, 0o700, 0o1777, 0o2755}
)

// kinds are the changes to choose from: those that make names and those that
// take them are in balance.
func (w *writer) kinds() []func(*writer) error {
	change := []func(*writer) error{
		(*writer).append, (*writer).append, (*writer).overwrite, (*writer).overwrite, (*writer).save, (*writer).save,
		(*writer).saveWithBackup, (*writer).truncate, (*writer).chmod, (*writer).xattr, (*writer).times,
		(*writer).rename, (*writer).renameChain, (*writer).renameDir, (*writer).exchange, (*writer).copyRange,
		(*writer).mapped, (*writer).mapped,
	}
	if len(places(w.root, "", anything)) < mostNames {
		return append(change, (*writer).create, (*writer).create, (*writer).mkdir, (*writer).symlink, (*writer).link, (*writer).tmpfile, (*writer).overwrite)
	}
	return append(change, (*writer).unlink, (*writer).unlink, (*writer).removeTree)
}

func pick[T any](w *writer, from []T) T { return from[w.random.IntN(len(from))] }

// content makes bytes that no other write has: mostly few, at times many.
func (w *writer) content() []byte {
	w.n++
	size := 1 + w.random.IntN(3000)
	switch n := w.random.IntN(120); {
	case n == 0:
		size = 1<<20 + w.random.IntN(2<<20) // kept in chunks
	case n < 10:
		size = 1 + w.random.IntN(120<<10)
	case n < 20:
		size = 1 + w.random.IntN(40)
	}
	line := fmt.Appendf(nil, "%s %d\n", w.name, w.n)
	return bytes.Repeat(line, size/len(line)+1)[:size]
}

// existing is a random name of a kind; its node is nil where there is none.
func (w *writer) existing(kind uint32) place {
	if all := places(w.root, "", isKind(kind)); len(all) > 0 {
		return pick(w, all)
	}
	return place{}
}

// slot is a random name, free or taken, in a random directory.
func (w *writer) slot(names []string) place {
	dirs := append(places(w.root, "", isKind(unix.S_IFDIR)), place{node: w.root})
	d := pick(w, dirs)
	name := pick(w, names)
	return place{d.node, name, path.Join(d.path, name), d.node.children[name]}
}

// free is like slot, but a name that is not taken.
func (w *writer) free(names []string) (place, bool) {
	for range 8 {
		if p := w.slot(names); p.node == nil {
			return p, true
		}
	}
	return place{}, false
}

func (w *writer) put(p place, n *inode) func() {
	return func() { p.dir.children[p.name] = n }
}

func (w *writer) drop(p place) func() {
	return func() { delete(p.dir.children, p.name) }
}

// open opens a file of the record for writing.
func (w *writer) open(p place) (f *os.File, err error) {
	err = w.step("open "+p.path, func() (err error) {
		f, err = os.OpenFile(w.path(p.path), os.O_RDWR, 0)
		return err
	}, func() {})
	return f, err
}

// make creates a file with a content, at times by several writes, at times
// with fsync.
func (w *writer) make(p place, mode uint32) (*inode, error) {
	n := &inode{kind: unix.S_IFREG, mode: mode, xattrs: map[string]string{}}
	var f *os.File
	err := w.step("create "+p.path, func() (err error) {
		f, err = os.OpenFile(w.path(p.path), os.O_RDWR|os.O_CREATE|os.O_EXCL, os.FileMode(mode))
		return err
	}, w.put(p, n))
	if err != nil {
		return nil, err
	}
	for err == nil {
		if err = w.write(f, n, len(n.data), w.content()); w.random.IntN(3) > 0 {
			break
		}
	}
	if err == nil && w.random.IntN(4) == 0 {
		err = w.step("fsync "+p.path, f.Sync, func() {})
	}
	return n, w.finish(f, err)
}

func (w *writer) create() error {
	p, ok := w.free(fileNames)
	if !ok {
		return nil
	}
	_, err := w.make(p, pick(w, fileModes))
	return err
}

func (w *writer) append() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil || len(p.node.data) > 1<<20 {
		return nil
	}
	f, err := w.open(p)
	if err != nil {
		return err
	}
	return w.finish(f, w.write(f, p.node, len(p.node.data), w.content()))
}

// overwrite writes over a part, or all of a file after emptying it.
func (w *writer) overwrite() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil {
		return nil
	}
	f, err := w.open(p)
	if err != nil {
		return err
	}
	off := w.random.IntN(len(p.node.data) + 1)
	if w.random.IntN(2) == 0 {
		off = 0
		err = w.step("empty "+p.path, func() error { return f.Truncate(0) }, func() { p.node.data = nil })
	}
	if err == nil {
		err = w.write(f, p.node, off, w.content())
	}
	return w.finish(f, err)
}

func (w *writer) truncate() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil {
		return nil
	}
	size := w.random.IntN(len(p.node.data) + 2000)
	return w.step(fmt.Sprintf("truncate %s to %d", p.path, size), func() error { return os.Truncate(w.path(p.path), int64(size)) },
		func() { p.node.data = resized(p.node.data, size) })
}

// save is what most editors do: a new file is renamed over the old one.
func (w *writer) save() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil {
		return nil
	}
	tmp := place{dir: p.dir, name: ".#" + p.name + ".tmp", path: path.Join(path.Dir(p.path), ".#"+p.name+".tmp")}
	if p.dir.children[tmp.name] != nil {
		return nil
	}
	n, err := w.make(tmp, p.node.mode)
	if err != nil {
		return err
	}
	return w.step("save "+p.path, func() error { return os.Rename(w.path(tmp.path), w.path(p.path)) }, func() {
		w.drop(tmp)()
		w.put(p, n)()
	})
}

// saveWithBackup is what vim does where it cannot keep the inode: the old file
// is renamed away, a new one made, the old one removed.
func (w *writer) saveWithBackup() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil || p.dir.children[p.name+"~"] != nil {
		return nil
	}
	backup := place{dir: p.dir, name: p.name + "~", path: p.path + "~"}
	err := w.step("back up "+p.path, func() error { return os.Rename(w.path(p.path), w.path(backup.path)) }, func() {
		w.drop(p)()
		w.put(backup, p.node)()
	})
	if err != nil {
		return err
	}
	if _, err = w.make(p, p.node.mode); err != nil {
		return err
	}
	return w.step("remove "+backup.path, func() error { return os.Remove(w.path(backup.path)) }, w.drop(backup))
}

func (w *writer) mkdir() error {
	p, ok := w.free(dirNames)
	if !ok {
		return nil
	}
	n := newDir(0o755 | p.dir.mode&unix.S_ISGID)
	return w.step("mkdir "+p.path, func() error { return os.Mkdir(w.path(p.path), 0o755) }, w.put(p, n))
}

func (w *writer) symlink() error {
	p, ok := w.free(fileNames)
	if !ok {
		return nil
	}
	target := pick(w, fileNames)
	n := &inode{kind: unix.S_IFLNK, data: []byte(target)}
	return w.step("symlink "+p.path, func() error { return os.Symlink(target, w.path(p.path)) }, w.put(p, n))
}

func (w *writer) link() error {
	from := w.existing(unix.S_IFREG)
	p, ok := w.free(fileNames)
	if !ok || from.node == nil {
		return nil
	}
	return w.step("link "+from.path+" to "+p.path, func() error { return os.Link(w.path(from.path), w.path(p.path)) }, w.put(p, from.node))
}

// tmpfile makes a file without a name and then names it.
func (w *writer) tmpfile() error {
	p, ok := w.free(fileNames)
	if !ok {
		return nil
	}
	n := &inode{kind: unix.S_IFREG, mode: 0o640, xattrs: map[string]string{}}
	var f *os.File
	err := w.step("open O_TMPFILE for "+p.path, func() (err error) {
		f, err = os.OpenFile(path.Dir(w.path(p.path)), os.O_RDWR|unix.O_TMPFILE, 0o640)
		return err
	}, func() {})
	if err != nil {
		return err
	}
	if err = w.write(f, n, 0, w.content()); err == nil {
		err = w.step("name "+p.path, func() error {
			return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, w.path(p.path), unix.AT_SYMLINK_FOLLOW)
		}, w.put(p, n))
	}
	return w.finish(f, err)
}

func (w *writer) unlink() error {
	p := pick(w, []place{w.existing(unix.S_IFREG), w.existing(unix.S_IFREG), w.existing(unix.S_IFLNK)})
	if p.node == nil {
		return nil
	}
	return w.step("unlink "+p.path, func() error { return os.Remove(w.path(p.path)) }, w.drop(p))
}

// removeTree is rm -r of a directory.
func (w *writer) removeTree() error {
	p := w.existing(unix.S_IFDIR)
	if p.node == nil {
		return nil
	}
	below := append([]place{p}, places(p.node, p.path, anything)...)
	for i := len(below) - 1; i >= 0; i-- {
		q := below[i]
		if err := w.step("remove "+q.path, func() error { return os.Remove(w.path(q.path)) }, w.drop(q)); err != nil {
			return err
		}
	}
	return nil
}

// rename renames a file or link, over another one or to a free name.
func (w *writer) rename() error {
	from := w.existing(pick(w, []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFLNK}))
	to := w.slot(fileNames)
	if from.node == nil {
		return nil
	}
	return w.move(from, to)
}

func (w *writer) move(from, to place) error {
	if from.node == to.node {
		return nil // two names of one file: rename(2) does nothing
	}
	return w.step(fmt.Sprintf("rename %q to %q", from.path, to.path), func() error { return os.Rename(w.path(from.path), w.path(to.path)) }, func() {
		w.drop(from)()
		w.put(to, from.node)()
	})
}

// renameChain rotates names as logs are rotated: the last goes first.
func (w *writer) renameChain() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil {
		return nil
	}
	at := func(i int) place {
		q := place{dir: p.dir, name: p.name, path: p.path}
		if i > 0 {
			q.name, q.path = fmt.Sprint("log.", i), path.Join(path.Dir(p.path), fmt.Sprint("log.", i))
		}
		q.node = p.dir.children[q.name]
		return q
	}
	for i := 2; i >= 0; i-- {
		if from := at(i); from.node != nil {
			if err := w.move(from, at(i+1)); err != nil {
				return err
			}
		}
	}
	if at(0).node != nil {
		return nil // a name of the same file, which rename(2) leaves alone
	}
	_, err := w.make(at(0), 0o644)
	return err
}

func (w *writer) renameDir() error {
	from := w.existing(unix.S_IFDIR)
	to, ok := w.free(dirNames)
	if !ok || from.node == nil || to.dir == from.node {
		return nil
	}
	for _, p := range places(from.node, from.path, isKind(unix.S_IFDIR)) {
		if p.node == to.dir {
			return nil // into itself
		}
	}
	return w.move(from, to)
}

func (w *writer) exchange() error {
	a, b := w.existing(unix.S_IFREG), w.existing(unix.S_IFREG)
	if a.node == nil || a.node == b.node {
		return nil
	}
	return w.step(fmt.Sprintf("exchange %q and %q", a.path, b.path), func() error {
		return unix.Renameat2(unix.AT_FDCWD, w.path(a.path), unix.AT_FDCWD, w.path(b.path), unix.RENAME_EXCHANGE)
	}, func() {
		w.put(a, b.node)()
		w.put(b, a.node)()
	})
}

// copyRange copies by copy_file_range(2).
func (w *writer) copyRange() error {
	from, to := w.existing(unix.S_IFREG), w.existing(unix.S_IFREG)
	if from.node == nil || from.node == to.node || len(from.node.data) == 0 {
		return nil
	}
	in, err := w.open(from)
	if err != nil {
		return err
	}
	out, err := w.open(to)
	if err != nil {
		return w.finish(in, err)
	}
	data := bytes.Clone(from.node.data)
	d := &doubt{what: "copy " + from.path + " to " + to.path, node: to.node, data: data, apply: func() { to.node.data = written(to.node.data, 0, data) }}
	err = w.try(d, func() error {
		var off, at int64
		for off < int64(len(data)) {
			if n, err := unix.CopyFileRange(int(in.Fd()), &off, int(out.Fd()), &at, len(data)-int(off), 0); err != nil || n == 0 {
				return fmt.Errorf("copied %d of %d: %w", off, len(data), err)
			}
		}
		return nil
	})
	return w.finish(in, w.finish(out, err))
}

func (w *writer) chmod() error {
	p, mode := w.existing(unix.S_IFREG), pick(w, fileModes)
	if w.random.IntN(3) == 0 {
		p, mode = w.existing(unix.S_IFDIR), pick(w, dirModes)
	}
	if p.node == nil {
		return nil
	}
	return w.step(fmt.Sprintf("chmod %s %o", p.path, mode), func() error { return unix.Chmod(w.path(p.path), mode) }, func() { p.node.mode = mode })
}

func (w *writer) xattr() error {
	p := w.existing(pick(w, []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFDIR}))
	if p.node == nil {
		return nil
	}
	name, value := pick(w, []string{"user.a", "user.b"}), fmt.Sprint(w.random.Int())
	next := maps.Clone(p.node.xattrs)
	if next == nil {
		next = map[string]string{}
	}
	run := func() error { return unix.Setxattr(w.path(p.path), name, []byte(value), 0) }
	if _, ok := next[name]; ok && w.random.IntN(2) == 0 {
		delete(next, name)
		run = func() error { return unix.Removexattr(w.path(p.path), name) }
	} else {
		next[name] = value
	}
	return w.step("xattr "+p.path, run, func() { p.node.xattrs = next })
}

func (w *writer) times() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil {
		return nil
	}
	at := time.Unix(w.random.Int64N(2e9), w.random.Int64N(1e9))
	return w.step("utimes "+p.path, func() error { return os.Chtimes(w.path(p.path), at, at) }, func() {})
}
