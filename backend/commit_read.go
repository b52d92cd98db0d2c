package backend

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// racy is how old a file's last change must be for its stat to identify its
// bytes: a write within the same tick of the kernel's clock would not show.
const racy = 20 * time.Millisecond

// errOpen means that a writer holds the file; it stays dirty.
var errOpen = errors.New("open for writing")

// errUnsettled means that the name has to wait for another one; it stays dirty.
var errUnsettled = errors.New("another name is not settled")

// errUnplaced means that it is not known yet where something is that has moved; the
// name stays dirty.
var errUnplaced = errors.New("something has moved that is not settled")

// errChanging means that the file changed while it was read; it stays dirty.
var errChanging = errors.New("changed while being read")

// read returns the node of what is at a name, reading content only where its
// stat does not vouch for the bytes that the index knows. What it reads is of
// the inode that was seen, or errChanging: the file's other names get it too.
func (c *committer) read(ctx context.Context, s *seen, kind object.Kind, from origin) (index.Node, error) {
	n := index.Node{Key: s.info.Key, Size: s.info.Size, Ctime: s.info.Ctime}
	if from.node != nil {
		n.Entry = from.node.Entry
	}
	n.Kind = kind
	var before tree.Info
	if kind != object.Symlink {
		n.Mode = s.info.Perm()
		xattrs, info, err := c.r.xattrs(s.path)
		if err != nil {
			return n, err
		}
		if info.Key != s.info.Key {
			return n, errChanging
		}
		n.Xattrs, before = xattrs, info
	}
	switch kind {
	case object.Dir:
		return n, nil
	case object.Symlink:
		n.Mtime = s.info.Mtime
		return n, c.readLink(s, &n)
	}
	if c.vouched(s, from.node) {
		n.Entry.Mtime = s.info.Mtime
		return n, c.watchOpen(s)
	}
	err := c.readFile(ctx, s, from.node, &n)
	n.Ctime = before.Ctime // an attribute that was set meanwhile shows at the next look
	return n, err
}

// vouched tells that the bytes are those of the node without reading them.
func (c *committer) vouched(s *seen, n *index.Node) bool {
	if n == nil || n.Uncertain || n.Key != s.info.Key || n.Size != s.info.Size || n.Entry.Mtime != s.info.Mtime {
		return false
	}
	return n.Ctime == s.info.Ctime || !writesData(s.kinds)
}

func writesData(k journal.KindSet) bool {
	return k.Has(journal.KindOpen) || k.Has(journal.KindClose) || k.Has(journal.KindWrite) ||
		k.Has(journal.KindFound) || k.Has(journal.KindCreate)
}

func (c *committer) readLink(s *seen, n *index.Node) error {
	target, info, err := c.r.tree.Readlink(s.path)
	if errors.Is(err, unix.EINVAL) || err == nil && info.Key != s.info.Key {
		return errChanging // it is something else by now
	}
	if err != nil {
		return err
	}
	n.Blob, err = c.batch.WriteBlob([]byte(target))
	return err
}

// readFile stores the content of a file that no writer has open.
func (c *committer) readFile(ctx context.Context, s *seen, known *index.Node, n *index.Node) error {
	f, err := c.r.tree.OpenFile(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	quiet, err := f.Quiet()
	if err != nil {
		return err
	}
	if !quiet && !c.steady(s, f.Info) {
		return errOpen
	}
	var was object.TreeID
	if known != nil {
		was = known.Chunks
	}
	if c.r.isLeftOut(s.path, f.Info.Size) {
		return errNoRoom
	}
	content, err := c.batch.PutFile(io.LimitReader(untilReader{ctx, f}, f.Info.Size), f.Info.Size, was)
	if isFull(err) && f.Info.Size > chunk.Threshold {
		return &noRoomError{s.path, f.Info.Size}
	}
	if errors.Is(err, chunk.ErrSizeChanged) {
		return errChanging
	}
	if err != nil {
		return err
	}
	n.Blob, n.Chunks = content.Blob, content.List
	if quiet {
		if quiet, err = f.Quiet(); err == nil && !quiet {
			err = errOpen // opened while it was read
		}
		if err != nil {
			return err
		}
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if !sameStat(after, f.Info) || after.Key != s.info.Key {
		return errChanging
	}
	if known != nil && n.Blob == known.Blob && lostFraction(s, after.Mtime, known.Entry.Mtime) {
		if after, err = c.r.tree.SetAttr(tree.At(s.path), tree.Exactly(after), tree.Attr{Mtime: &known.Entry.Mtime}); err != nil {
			return errChanging
		}
	}
	n.Size, n.Entry.Mtime, n.Mode = after.Size, after.Mtime, after.Perm()
	// A mapping that has stored to a page may do so again with no trace in the stat.
	n.Uncertain = !quiet || c.r.now().Sub(time.Unix(0, max(after.Mtime, after.Ctime))) < racy
	if quiet {
		c.closed(s)
	} else {
		c.open(s, after)
	}
	return nil
}

// untilReader fails once ctx has ended: reading a large file takes minutes.
type untilReader struct {
	ctx context.Context
	r   io.Reader
}

func (u untilReader) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// lostFraction tells a time that went through an archive which keeps whole seconds,
// as one that tar makes: a file that was restored from it with the bytes that it
// had is no edit.
func lostFraction(s *seen, now, was int64) bool {
	const second = int64(time.Second)
	return s.kinds == journal.KindSetOf(journal.KindFound) && now%second == 0 && was%second != 0 && now == was-was%second
}

// watchOpen keeps a file dirty that has not changed, but is open for writing:
// what is written to it from now on has no record of its own.
func (c *committer) watchOpen(s *seen) error {
	if !writesData(s.kinds) && !s.kinds.Has(journal.KindLink) {
		return nil
	}
	f, err := c.r.tree.OpenFile(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Key != s.info.Key {
		return errChanging
	}
	quiet, err := f.Quiet()
	if err != nil {
		return err
	}
	if !quiet {
		c.open(s, s.info)
		return nil
	}
	// What was written between the stat and the end of the last writer, a mapping
	// say, has no record of its own either.
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if !sameStat(after, s.info) {
		return errChanging
	}
	c.closed(s)
	return nil
}

// steady tells whether to commit a file as it is although it is open.
func (c *committer) steady(s *seen, info tree.Info) bool {
	defer c.r.looks.share(s.path, s.mark)
	return c.r.looks.steady(s.path, info, c.r.now())
}

// closed notes that nobody writes to a file any more.
func (c *committer) closed(s *seen) {
	c.r.looks.closed(s.path)
	c.r.looks.closed(s.mark)
}

// open notes that a file was committed as it is although it is open: it is
// looked at again until it is closed.
func (c *committer) open(s *seen, info tree.Info) {
	c.stays(s)
	c.r.looks.committed(s.path, info, c.r.now())
	c.r.looks.share(s.path, s.mark)
	c.r.retrySoon()
}

func sameStat(a, b tree.Info) bool {
	return a.Key == b.Key && a.Size == b.Size && a.Mtime == b.Mtime && a.Ctime == b.Ctime
}
