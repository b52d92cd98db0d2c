package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// racy is how old a file's last change must be for its stat to identify its
// bytes: a write within the same tick of the kernel's clock would not show.
const racy = 20 * time.Millisecond

// errOpen means that a writer holds the file; it stays dirty.
var errOpen = errors.New("open for writing")

// errChanging means that the file changed while it was read; it stays dirty.
var errChanging = errors.New("changed while being read")

// committer makes one commit of one resource out of one observation. It works
// inside an index transaction: the index, the batch and the tree that is built
// change together or not at all.
type committer struct {
	r     *resource
	tx    *index.Tx
	batch *store.Batch
	disk  object.TreeID // that the index made up before

	here     map[journal.FileKey]bool // inodes that were seen somewhere
	refilled map[object.FileID]bool
	vacant   map[string]bool          // names that have lost what they had
	oldPath  map[object.FileID]string // of directories, before the commit

	// moving says that something may have moved to a name that is not settled
	// here. Until it is, nothing is taken for gone: neither what is missing from
	// its name, nor what is below a directory that is not where it was.
	moving bool

	postponed map[journal.FileKey]bool // inodes that could not be settled for now
	touched   map[index.Slot]bool      // names whose entry may have changed
	keep      map[string]bool          // paths that stay dirty
	unsettled map[string]bool          // directories that the index does not have as they are
	rewalk    map[string]bool          // directories that are walked again
	displaced int                      // nodes that were put into limbo
	lost      bool                     // something is missing without a deed: scan
	what      summary
}

// commitMarks commits what changed at the marks in due and clears them from
// the journal once that is durable. It returns whether a commit was made.
//
// The index comes before the head: with the index's transaction the commit is
// made, and what is left, moving the ref, can be repeated (publishNext), also after
// a crash. The other way round the disk would seem to lag behind a head that in
// truth came from it.
func (r *resource) commitMarks(ctx context.Context, all, due []journal.Mark) (bool, error) {
	if err := r.publishNext(); err != nil {
		return false, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return false, fmt.Errorf("begin commit of %s: %w", r.name, err)
	}
	defer batch.Discard()

	var made *object.Commit
	var id object.CommitID
	var done []journal.Mark
	err = r.index.Update(func(tx *index.Tx) error {
		if err := r.settleDisk(tx); err != nil {
			return err
		}
		look := r.observe(tx, all, due)
		c := &committer{
			r: r, tx: tx, batch: batch, disk: tx.Disk(), moving: look.moving,
			touched: map[index.Slot]bool{}, keep: map[string]bool{}, unsettled: map[string]bool{}, rewalk: map[string]bool{},
			postponed: map[journal.FileKey]bool{},
		}
		for path, err := range look.failed {
			r.report(path, err)
			c.keep[path] = true
		}
		if err := c.collect(ctx, look.seen, look.inodes); err != nil {
			return err
		}
		for _, m := range look.marks {
			if !c.keep[m.Path] {
				done = append(done, m)
			}
		}
		r.wantScan = r.wantScan || c.lost
		made, id, err = c.write(ctx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("commit %s: %w", r.name, err)
	}
	if made != nil {
		r.next = &nextHead{id, made}
		if err := r.publishNext(); err != nil {
			return false, err
		}
		r.log.Debug("committed", "resource", r.name, "commit", id, "subject", made.Message)
	}
	r.journal.Clear(r.name, done)
	return made != nil, r.applyIfBehind(ctx)
}

// collect brings the index up to what was seen: directories first, so that the
// paths of what is inside them are right, then files, then what is gone.
func (c *committer) collect(ctx context.Context, list []seen, inodes []journal.Mark) error {
	c.survey(list)
	for _, dirs := range []bool{true, false} {
		for i := range list {
			s := &list[i]
			if !s.present || isDir(s.info) != dirs {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.present(s); err != nil {
				return fmt.Errorf("%s: %w", s.path, err)
			}
		}
		if dirs {
			list = c.withInodes(list, inodes)
		}
	}
	for i := range list {
		if s := &list[i]; !s.present {
			if err := c.absent(s); err != nil {
				return fmt.Errorf("%s: %w", s.path, err)
			}
		}
	}
	return errors.Join(c.markRewalks(), c.emptyLimbo())
}

// withInodes adds all names of the files that are marked whatever their names.
// The directories are settled already, so that the paths are right. A name that
// the index does not have yet has a mark of its own.
func (c *committer) withInodes(list []seen, inodes []journal.Mark) []seen {
	marked := make(map[journal.FileKey]journal.Mark, len(inodes))
	for _, m := range inodes {
		marked[m.Inode] = m
	}
	listed := make(map[string]bool, len(list))
	for i := range list {
		listed[list[i].path] = true
		if m, ok := marked[list[i].info.Key]; ok && list[i].present {
			list[i].also(m)
		}
	}
	for _, m := range inodes {
		for _, slot := range c.tx.ByKey(m.Inode) {
			path, err := c.tx.Path(slot)
			if err != nil || listed[path] {
				continue
			}
			info, err := c.r.tree.Stat(path)
			if err != nil || info.Key != m.Inode {
				continue // it has left that name, which has a mark of its own
			}
			list = append(list, seen{path: path, kinds: m.Kinds, actor: m.Actor, present: true, info: info, mark: m.Path})
		}
	}
	return list
}

// stays keeps a name dirty: by its marks or, where a walk has found it, by the
// mark of the directory that was walked, which is walked again then.
func (c *committer) stays(s *seen) {
	c.keep[s.path] = true
	if s.mark != "" {
		c.keep[s.mark] = true
	}
	if s.walked == "" {
		return
	}
	c.keep[s.walked] = true
	for dir := s.path; dir != s.walked; {
		dir, _ = splitPath(dir)
		c.rewalk[dir] = true // each: it may move away from the others
	}
}

// markRewalks notes in the index which directories are to be walked again.
func (c *committer) markRewalks() error {
	for path := range c.rewalk {
		n, ok := c.tx.Lookup(path)
		if !ok || n.Kind != object.Dir {
			continue // not settled itself: it is still new
		}
		n.Uncertain = true
		if err := c.tx.Put(n); err != nil {
			return err
		}
	}
	return nil
}

// present settles one name that is there.
func (c *committer) present(s *seen) error {
	kind, mirrored := kindOf(s.info)
	if !mirrored {
		c.r.local.add(s.path)
		return c.vacate(s)
	}
	c.r.local.remove(s.path)
	if c.r.skip(s.path, kind == object.Dir) {
		return nil
	}
	dir, name := splitPath(s.path)
	if underAny(dir, c.unsettled) {
		return c.postpone(s, errChanging)
	}
	parent, ok := c.dirID(dir)
	if !ok { // it could not be settled; look again with it
		return errors.Join(c.postpone(s, errChanging), c.r.journal.Found(c.r.name, dir))
	}
	cur, had := c.tx.Get(parent, name)
	from, err := c.identify(s, kind, cur, had)
	if err != nil {
		return c.postpone(s, err)
	}
	if had && cur.ID != from.id && c.moving && !c.here[cur.Key] {
		return c.postpone(s, errChanging)
	}
	node, err := c.read(s, kind, from)
	if err != nil {
		return c.postpone(s, err)
	}
	node.Parent, node.Name, node.ID, node.Tree = parent, name, from.id, object.TreeID{}
	if from.minted {
		node.Tags = from.tags
	}
	return c.place(s, node, cur, had, from)
}

// place puts a settled node into the index and notes which names changed.
func (c *committer) place(s *seen, node, cur index.Node, had bool, from origin) error {
	if had && cur.ID != node.ID {
		if err := c.displace(cur); err != nil {
			return err
		}
	}
	if from.from != nil {
		old, err := c.tx.Path(*from.from)
		if err != nil {
			old = ""
		}
		c.what.renamed(old, s.path, s.actor)
		c.touched[*from.from] = true
		if err := c.tx.Move(*from.from, node.Slot()); err != nil {
			return err
		}
	} else if !had || cur.ID != node.ID {
		c.what.added(s.path, s.actor)
	} else if !sameOnDisk(cur.Entry, node.Entry) {
		c.what.edited(s.path, s.actor)
	}
	if err := c.tx.Put(node); err != nil {
		return err
	}
	c.r.retag(node)
	c.touched[node.Slot()] = true
	return c.spread(node)
}

// displace takes a node from its name until it is clear where it is.
func (c *committer) displace(n index.Node) error {
	c.touched[n.Slot()] = true
	c.displaced++
	return c.tx.Move(n.Slot(), index.Slot{Parent: limbo, Name: fmt.Sprint(c.displaced)})
}

// vacate takes what the index has at a name from it that holds nothing which is
// mirrored.
func (c *committer) vacate(s *seen) error {
	dir, name := splitPath(s.path)
	parent, ok := c.dirID(dir)
	if !ok {
		return nil
	}
	n, ok := c.tx.Get(parent, name)
	if !ok {
		return nil
	}
	if c.moving && !c.here[n.Key] {
		return c.postpone(s, errChanging)
	}
	c.what.deleted(s.path, s.actor)
	return c.displace(n)
}

// spread copies content and attributes to the other names of a hard link.
func (c *committer) spread(node index.Node) error {
	if node.Kind == object.Dir {
		return nil
	}
	for _, slot := range c.tx.Slots(node.ID) {
		other, ok := c.tx.Get(slot.Parent, slot.Name)
		if !ok || slot == node.Slot() || other.Key != node.Key {
			continue
		}
		linked := node
		linked.Parent, linked.Name = slot.Parent, slot.Name
		if err := c.tx.Put(linked); err != nil {
			return err
		}
		c.touched[slot] = true
	}
	return nil
}

// postpone leaves a name dirty when it cannot be read for now.
func (c *committer) postpone(s *seen, err error) error {
	switch {
	case errors.Is(err, errOpen), errors.Is(err, errChanging), errors.Is(err, tree.ErrNotRegular), errors.Is(err, tree.ErrNotDirectory), isAbsent(err):
	case isLocal(err):
		c.r.report(s.path, err)
	default:
		return err
	}
	c.stays(s)
	c.postponed[s.info.Key] = true
	if isDir(s.info) {
		c.unsettled[s.path] = true
		c.moving = true
	}
	c.r.retrySoon()
	return nil
}

// absent settles one name that is missing.
func (c *committer) absent(s *seen) error {
	c.r.local.remove(s.path)
	c.r.looks.closed(s.path)
	dir, name := splitPath(s.path)
	if underAny(dir, c.unsettled) {
		c.stays(s)
		return nil
	}
	parent, ok := c.dirID(dir)
	if !ok {
		return nil // its directory is gone as well, and takes it along
	}
	n, ok := c.tx.Get(parent, name)
	if !ok {
		return nil // it was never committed, or has moved
	}
	if c.moving || c.postponed[n.Key] {
		c.stays(s) // it may have moved to where it is not settled yet
		c.r.retrySoon()
		return nil
	}
	if !s.deed() {
		c.lost = true
		return nil
	}
	return c.gone(s)
}

// gone takes what the index has at a name out of it.
func (c *committer) gone(s *seen) error {
	dir, name := splitPath(s.path)
	parent, ok := c.dirID(dir)
	if !ok {
		return nil
	}
	n, ok := c.tx.Get(parent, name)
	if !ok {
		return nil
	}
	c.touched[n.Slot()] = true
	c.what.deleted(s.path, s.actor)
	return c.drop(n)
}

func (c *committer) drop(n index.Node) error {
	if err := c.r.untag(c.tx, n); err != nil {
		return err
	}
	_, err := c.tx.DeleteTree(n.Parent, n.Name)
	return err
}

// emptyLimbo deletes the nodes that were displaced and turned up nowhere.
func (c *committer) emptyLimbo() error {
	var nodes []index.Node
	if err := c.tx.Children(limbo, func(n index.Node) error {
		nodes = append(nodes, n)
		return nil
	}); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := c.drop(n); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) dirID(path string) (object.FileID, bool) {
	if path == "" {
		return object.FileID{}, true
	}
	n, ok := c.tx.Lookup(path)
	return n.ID, ok && n.Kind == object.Dir
}

// read returns the node of what is at a name, reading content only where its
// stat does not vouch for the bytes that the index knows.
func (c *committer) read(s *seen, kind object.Kind, from origin) (index.Node, error) {
	n := index.Node{Key: s.info.Key, Size: s.info.Size, Ctime: s.info.Ctime}
	if from.node != nil {
		n.Entry = from.node.Entry
	}
	n.Kind = kind
	if kind != object.Symlink {
		n.Mode = s.info.Perm()
		xattrs, err := c.r.xattrs(s.path)
		if err != nil {
			return n, err
		}
		n.Xattrs = xattrs
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
	return n, c.readFile(s, from.node, &n)
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
	quiet, err := f.Quiet()
	if err != nil {
		return err
	}
	if quiet {
		c.closed(s)
		return nil
	}
	c.open(s, s.info)
	return nil
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
	target, err := c.r.tree.Readlink(s.path)
	if errors.Is(err, unix.EINVAL) {
		return errChanging // it is something else by now
	}
	if err != nil {
		return err
	}
	n.Blob, err = c.batch.PutBlob(strings.NewReader(target), int64(len(target)))
	return err
}

// readFile stores the content of a file that no writer has open.
func (c *committer) readFile(s *seen, known *index.Node, n *index.Node) error {
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
	n.Blob, err = c.batch.PutBlob(io.LimitReader(f, f.Info.Size), f.Info.Size)
	if errors.Is(err, store.ErrSizeChanged) {
		return errChanging
	}
	if err != nil {
		return err
	}
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
	n.Size, n.Ctime, n.Entry.Mtime, n.Mode = after.Size, after.Ctime, after.Mtime, after.Perm()
	n.Uncertain = c.r.now().Sub(time.Unix(0, after.Mtime)) < racy
	if quiet {
		c.closed(s)
	} else {
		c.open(s, after)
	}
	return nil
}

// steady tells whether to commit a file as it is although it is open.
func (c *committer) steady(s *seen, info tree.Info) bool {
	defer c.r.looks.share(s.path, s.mark)
	return c.r.looks.steady(s.path, info, c.r.now())
}

func sameStat(a, b tree.Info) bool {
	return a.Key == b.Key && a.Size == b.Size && a.Mtime == b.Mtime && a.Ctime == b.Ctime
}

// write commits what the index makes up now. It returns nil if the head has all
// of it already.
func (c *committer) write(ctx context.Context) (*object.Commit, object.CommitID, error) {
	e, err := editsOf(c.tx, c.touched, c.oldTree)
	if err != nil || len(e.sub) == 0 {
		return nil, object.CommitID{}, err
	}
	disk, err := e.build(c.batch, c.disk)
	if err != nil {
		return nil, object.CommitID{}, fmt.Errorf("build tree: %w", err)
	}
	if disk == c.disk {
		return nil, object.CommitID{}, nil
	}
	if err := c.tx.SetDisk(disk); err != nil {
		return nil, object.CommitID{}, err
	}
	next, err := c.rebase(ctx, disk)
	if err != nil {
		return nil, object.CommitID{}, err
	}
	c.r.behind = next != disk
	id, head := c.r.headNow()
	if head != nil && head.Tree == next {
		return nil, id, c.batch.Commit()
	}
	made, id, err := c.r.newCommit(c.batch, next, c.what.subject())
	if err == nil {
		err = c.batch.Commit()
	}
	if err == nil {
		err = c.tx.SetNext(id)
	}
	if err == nil && !c.r.behind {
		err = c.tx.SetApplied(id)
	}
	return made, id, err
}

// rebase carries the local edits, which lead from the tree that the disk had to
// disk, over to the head, which is another where remote changes wait. What
// comes of both is what a merge makes of them: a version that the disk never
// had is not replaced unseen, and nothing is lost.
func (c *committer) rebase(ctx context.Context, disk object.TreeID) (object.TreeID, error) {
	id, head := c.r.headNow()
	if head == nil || head.Tree == c.disk {
		return disk, nil
	}
	var seen object.Cover // by the disk, at least
	if applied := c.tx.Applied(); !applied.IsZero() {
		commit, err := c.batch.ReadCommit(applied)
		if err != nil {
			return disk, err
		}
		seen = commit.FullCover(applied)
	}
	r, err := merge.Merge(ctx, c.batch, c.disk,
		merge.Side{Tree: disk, Cover: seen},
		merge.Side{Commit: id, Tree: head.Tree, Cover: head.FullCover(id)})
	if err != nil {
		return disk, fmt.Errorf("carry local edits over to the head: %w", err)
	}
	c.r.warn(r.Conflicts)
	return r.Tree, nil
}

// oldTree returns the tree that the disk's had for a directory, zero for a new
// one.
func (c *committer) oldTree(id object.FileID) (object.TreeID, error) {
	path, ok := c.oldPath[id]
	if !ok || c.disk.IsZero() {
		return object.TreeID{}, nil
	}
	entry, err := findEntry(c.batch, c.disk, path)
	if err != nil || entry == nil || entry.Kind != object.Dir {
		return object.TreeID{}, err
	}
	return entry.Tree, nil
}
