package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/journal"
)

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
	elsewhere map[journal.FileKey]bool // inodes that are not going to be, by an attempt before
	touched   map[index.Slot]bool      // names whose entry may have changed
	keep      map[string]bool          // paths that stay dirty
	unsettled map[string]bool          // directories that the index does not have as they are
	rewalk    map[string]bool          // directories that are walked again
	displaced int                      // nodes that were put into limbo
	stayed    int                      // names that walks found and have to find again
	lost      bool                     // something is missing without a deed: scan
	unclear   bool                     // something stays because what else has moved is not known
	behind    bool                     // the disk is not at the head, once this is committed
	more      bool                     // this takes not all that is marked
	what      summary
}

// commitMarks commits what changed at the marks in due and clears them from
// the journal once that is durable. It returns whether there is more to commit
// than one commit takes.
//
// The index comes before the head: with the index's transaction the commit is
// made, and what is left, moving the ref, can be repeated (publishNext), also after
// a crash. The other way round the disk would seem to lag behind a head that in
// truth came from it.
func (r *resource) commitMarks(ctx context.Context, all, due []journal.Mark) (more bool, err error) {
	if err := r.publishNext(); err != nil {
		return false, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return false, fmt.Errorf("begin commit of %s: %w", r.name, err)
	}
	defer func() { batch.Discard() }()

	var made *object.Commit
	var id object.CommitID
	var done []journal.Mark
	var behind bool
	stayed := 0
	elsewhere := map[journal.FileKey]bool{}
	attempt := func(tx *index.Tx) error {
		done = nil
		if err := r.settleDisk(tx); err != nil {
			return err
		}
		look := r.observe(tx, all, due)
		c := &committer{
			r: r, tx: tx, batch: batch, disk: tx.Disk(), moving: look.moving, behind: r.behind, more: look.more,
			touched: map[index.Slot]bool{}, keep: map[string]bool{}, unsettled: map[string]bool{}, rewalk: map[string]bool{},
			postponed: map[journal.FileKey]bool{}, elsewhere: elsewhere,
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
		if c.lost {
			r.needScan("a name is missing that nobody took away", nil)
		}
		if c.unclear {
			r.scanForStrays(look.marks, c.keep)
		}
		made, id, err = c.write(ctx)
		behind, more, stayed = c.behind, look.more, c.stayed
		return err
	}
	unsure, noRoom := new(unsureError), new(noRoomError)
attempts:
	for {
		err = r.index.Update(attempt)
		switch {
		case errors.As(err, &unsure):
			elsewhere[unsure.key] = true
		case errors.As(err, &noRoom): // what there is of it takes the room of all else
			batch.Discard()
			r.leaveOut(noRoom)
			if batch, err = r.store.NewBatch(); err != nil {
				return false, fmt.Errorf("begin commit of %s: %w", r.name, err)
			}
		default:
			break attempts
		}
	}
	if err != nil {
		return false, fmt.Errorf("commit %s: %w", r.name, err)
	}
	r.behind, r.stayed = behind, stayed
	if made != nil {
		r.next = &nextHead{id, made}
		if err := r.publishNext(); err != nil {
			return false, err
		}
		r.log.Debug("committed", "resource", r.name, "commit", id, "subject", made.Message)
	}
	r.journal.Clear(r.name, done)
	r.journal.Reserve()
	return more, r.applyIfBehind(ctx)
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
			if err := c.present(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s.path, err)
			}
		}
		if dirs {
			list = c.withInodes(list, inodes)
		}
	}
	if err := c.checkLimbo(); err != nil {
		return err
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
	listed := make(map[string]journal.FileKey, len(list))
	for i := range list {
		listed[list[i].path] = list[i].info.Key
		if m, ok := marked[list[i].info.Key]; ok && list[i].present {
			list[i].also(m)
		}
	}
	for _, m := range inodes {
		for _, slot := range c.tx.ByKey(m.Inode) {
			path, perr := c.tx.Path(slot)
			if key, ok := listed[path]; ok && perr == nil {
				if key != m.Inode && c.moving { // where it is now is not settled
					c.keep[m.Path] = true
					c.r.retrySoon()
				}
				continue
			}
			at, info, err := c.whether(slot, path, perr == nil, m.Inode)
			if err != nil {
				c.r.report(path, err)
			}
			switch at {
			case unsure:
				c.keep[m.Path] = true
				c.unclear = true
				c.r.retrySoon()
			case holds:
				list = append(list, seen{path: path, kinds: m.Kinds, actor: m.Actor, present: true, info: info, mark: m.Path})
			}
		}
	}
	return list
}

// present settles one name that is there.
func (c *committer) present(ctx context.Context, s *seen) error {
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
		return c.postpone(s, errUnsettled)
	}
	parent, ok := c.dirID(dir)
	if !ok { // it could not be settled; look again with it
		return errors.Join(c.postpone(s, errChanging), c.r.journal.Found(c.r.name, dir))
	}
	cur, had := c.tx.Get(parent, name)
	if !had && c.r.keeps(c.tx, s.path, s.info) {
		return nil
	}
	from, err := c.identify(s, kind, cur, had)
	if err != nil {
		return c.postpone(s, err)
	}
	if had && cur.ID != from.id && c.unsure(cur.Key) {
		return c.postpone(s, errUnsettled)
	}
	if had && cur.ID != from.id && c.r.holdsBack(s.path) {
		return c.postpone(s, errHeldBack)
	}
	node, err := c.read(ctx, s, kind, from)
	if err != nil {
		return c.postpone(s, err)
	}
	node.Parent, node.Name, node.ID, node.Tree = parent, name, from.id, object.TreeID{}
	if from.minted {
		node.Tags = from.tags
	}
	if s.partly {
		c.stays(s)
		c.rewalk[s.path] = true
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

func (c *committer) dirID(path string) (object.FileID, bool) {
	if path == "" {
		return object.FileID{}, true
	}
	n, ok := c.tx.Lookup(path)
	return n.ID, ok && n.Kind == object.Dir
}
