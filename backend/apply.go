package backend

import (
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// asideSlot is where an apply moves what is in the way, in the root. Scans and
// listings hide it as they hide all temporaries; its ending keeps it from being
// removed unread after a crash (see package tree).
func asideSlot(n index.Node) index.Slot {
	name := sha1.Sum([]byte(n.Parent.String() + "/" + n.Name))
	return index.Slot{Name: fmt.Sprintf("%saside.%s.%x.swap", tree.TempPrefix, n.ID, name[:6])}
}

// applier brings the backing directory from what the index says is there to
// what a head says should be. Every step compares what is on disk with the
// index and swaps; what differs is a local edit, which stays and waits for the
// committer: the disk's tree then differs from the head's, and the next apply
// takes up what is left. So an apply always ends, loses nothing, and may be
// repeated: a step that was done before is found done.
type applier struct {
	r       *resource
	tx      *index.Tx
	head    object.TreeID
	disk    object.TreeID                   // before the apply
	steps   []step                          // still to be made
	renames bool                            // something was renamed in this transaction
	added   map[object.FileID]bool          // what the diff puts at some name
	leave   map[claim]bool                  // what the diff takes from names
	arrive  map[claim]bool                  // what it puts there
	gone    []placed                        // what leave tells, children first
	trees   map[object.FileID]object.TreeID // of directories before the apply, where their entries change
	modes   []laterMode                     // of new directories, set once they are filled
	touched map[index.Slot]bool             // names whose node may have changed
	asides  map[index.Slot]index.Slot       // of what was put aside: where it was
	waits   []string                        // names that are not as the head has them
}

// claim is a file at one name.
type claim struct {
	index.Slot
	id object.FileID
}

func claimOf(p placed) claim {
	return claim{index.Slot{Parent: p.Parent, Name: p.Entry.Name}, p.Entry.ID}
}

type laterMode struct {
	slot index.Slot
	mode uint32
}

// apply moves the backing directory to the head, as far as that can be done
// now. The rest waits; r.behind says that there is one.
func (r *resource) apply(ctx context.Context) error {
	id, c := r.headNow()
	if c == nil {
		return nil
	}
	a := &applier{r: r, head: c.Tree, touched: map[index.Slot]bool{}}
	err := a.begin()
	if err == nil {
		err = a.run(ctx)
	}
	if err == nil {
		err = r.index.Update(func(tx *index.Tx) error {
			a.tx = tx
			return a.end(id)
		})
	}
	if err != nil {
		r.behind = true
		r.wantScan = true // the disk may be ahead of the index now
		return fmt.Errorf("apply head %s to %s: %w", id, r.name, err)
	}
	r.behind = len(a.waits) > 0
	r.setWaiting(a.waits)
	r.generation.Add(1)
	return nil
}

// begin finds out which steps lead from the disk's tree to the head's.
func (a *applier) begin() error {
	return a.r.index.Update(func(tx *index.Tx) error {
		if err := a.r.settleDisk(tx); err != nil {
			return err
		}
		a.disk = tx.Disk()
		d, err := diffTrees(a.r.store, a.disk, a.head)
		if err != nil {
			return err
		}
		a.plan(d)
		if len(a.steps) == 0 {
			return nil
		}
		return tx.SetApart()
	})
}

// end records where the steps led.
func (a *applier) end(id object.CommitID) error {
	if err := errors.Join(a.emptyAsides(), a.setModes()); err != nil {
		return err
	}
	if len(a.waits) > 0 {
		return a.recordDisk(a.disk)
	}
	return errors.Join(a.tx.SetDisk(a.head), a.tx.SetApplied(id))
}

// recordDisk writes the tree that an apply led to which did not reach the head.
func (a *applier) recordDisk(disk object.TreeID) error {
	batch, err := a.r.store.NewBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	e, err := editsOf(a.tx, a.touched, func(id object.FileID) (object.TreeID, error) { return a.trees[id], nil })
	if err != nil {
		return err
	}
	if disk, err = e.build(batch, disk); err != nil {
		return fmt.Errorf("build tree of the disk: %w", err)
	}
	if err := batch.Commit(); err != nil {
		return err
	}
	return a.tx.SetDisk(disk)
}

// step is one change that an apply makes.
type step struct {
	placed
	do func(placed) error
}

// plan lists the steps: what appears, parents first; what changes in place;
// what goes, children first.
func (a *applier) plan(d *treeDiff) {
	a.added, a.gone, a.trees = map[object.FileID]bool{}, d.Removed, map[object.FileID]object.TreeID{}
	a.leave, a.arrive, a.asides = map[claim]bool{}, map[claim]bool{}, map[index.Slot]index.Slot{}
	for _, p := range d.Added {
		a.added[p.Entry.ID] = true
		a.arrive[claimOf(p)] = true
		a.steps = append(a.steps, step{p, a.add})
	}
	for _, p := range d.Changed {
		a.trees[p.Old.Entry.ID] = p.Old.Entry.Tree
		a.steps = append(a.steps, step{p.New, a.change})
	}
	for _, p := range d.Removed {
		a.trees[p.Entry.ID] = p.Entry.Tree
		a.leave[claimOf(p)] = true
		a.steps = append(a.steps, step{p, a.remove})
	}
}

// run makes the steps. The index follows each rename at once: after a crash it
// could not be told from the user's. All other steps can, since a file that is
// as it should become is recognised. When ctx ends the steps that are left wait.
func (a *applier) run(ctx context.Context) error {
	for len(a.steps) > 0 {
		err := a.r.index.Update(func(tx *index.Tx) error {
			a.tx, a.renames = tx, false
			for len(a.steps) > 0 && !a.renames {
				s := a.steps[0]
				if ctx.Err() != nil {
					a.waits = append(a.waits, s.Path)
				} else if err := s.do(s.placed); errors.Is(err, errAgain) {
					continue
				} else if err := a.step(s.placed, err); err != nil {
					return err
				}
				a.steps = a.steps[1:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errAgain says that a step has to be made again once the index has followed.
var errAgain = errors.New("one rename at a time")

// emptyAsides ends what was moved aside and is there still: a name of a file
// that got all its names otherwise goes, what found no place returns.
func (a *applier) emptyAsides() error {
	for at, slot := range a.asides {
		n, ok := a.tx.Get(at.Parent, at.Name)
		if !ok {
			continue
		}
		p := placed{Parent: at.Parent, Path: at.Name, Entry: n.Entry}
		err := a.remove(p)
		if errors.Is(err, errParentWaits) {
			err = a.putBack(n, slot)
		}
		if err := a.step(p, err); err != nil {
			return err
		}
	}
	return nil
}

// putBack returns what was moved aside to where it was, if that is free.
func (a *applier) putBack(n index.Node, slot index.Slot) error {
	path, ok := a.pathOf(slot)
	if _, taken := a.tx.Get(slot.Parent, slot.Name); taken || !ok {
		return errParentWaits
	}
	return a.rename(n, path, slot)
}

// step ends one step: what failed waits, and is told about.
func (a *applier) step(p placed, err error) error {
	if err == nil {
		return nil
	}
	var broken *indexError
	if errors.As(err, &broken) {
		return err
	}
	path := p.Path
	if full, ok := a.pathOf(index.Slot{Parent: p.Parent, Name: p.Entry.Name}); ok {
		path = full
	}
	switch {
	case errors.Is(err, tree.ErrBusy):
		a.r.retrySoon()
	case errors.Is(err, tree.ErrChanged), isAbsent(err):
		if err := a.edited(path, err); err != nil {
			return err
		}
	case errors.Is(err, tree.ErrNotEmpty), errors.Is(err, errParentWaits):
	default:
		a.r.report(path, err)
		a.r.retrySoon()
	}
	a.r.log.Debug("remote change waits", "resource", a.r.name, "path", path, "reason", err)
	a.waits = append(a.waits, path)
	return nil
}

// edited has the committer look at a name that is not as the index says, and
// at the one where that was noticed. That one is missing is no deed: a scan
// tells.
func (a *applier) edited(path string, err error) error {
	paths := []string{path}
	var at *tree.Error
	if errors.As(err, &at) && at.Path != path {
		paths = append(paths, at.Path)
	}
	for _, path := range paths {
		if reserved(path) {
			a.r.asides = true
			continue
		}
		if _, err := a.r.tree.Stat(path); err != nil {
			a.r.wantScan = true
			continue
		}
		if err := a.r.journal.Found(a.r.name, path); err != nil {
			return err
		}
	}
	a.r.retrySoon()
	return nil
}

// indexError is a failure of the index itself: it ends an apply.
type indexError struct{ error }

func (e *indexError) Unwrap() error { return e.error }

func indexed(err error) error {
	if err == nil {
		return nil
	}
	return &indexError{err}
}

// put records a node.
func (a *applier) put(n index.Node) error {
	n.Tree = object.TreeID{}
	a.touched[n.Slot()] = true
	return indexed(a.tx.Put(n))
}

// moveNode records that a node has another name now.
func (a *applier) moveNode(from, to index.Slot) error {
	a.touched[from], a.touched[to] = true, true
	return indexed(a.tx.Move(from, to))
}

// errParentWaits says that the directory of an entry is not there yet.
var errParentWaits = errors.New("its directory is not there yet")

// add puts an entry at a name that did not have it.
func (a *applier) add(p placed) error {
	slot := index.Slot{Parent: p.Parent, Name: p.Entry.Name}
	path, ok := a.pathOf(slot)
	if !ok {
		return errParentWaits
	}
	cur, had := a.tx.Get(slot.Parent, slot.Name)
	if had && cur.ID == p.Entry.ID && cur.Kind == p.Entry.Kind {
		return a.update(path, cur, p.Entry)
	}
	from, linked := a.source(p.Entry)
	if had && (from != nil || p.Entry.Kind == object.Dir || cur.Kind == object.Dir || a.added[cur.ID]) {
		if err := a.clear(path, cur); err != nil {
			return err
		}
		had = false
	}
	switch {
	case from != nil && linked:
		return a.link(path, slot, *from, p.Entry)
	case from != nil:
		return a.move(path, slot, *from, p.Entry)
	case had:
		if err := a.r.untag(a.tx, cur); err != nil {
			return err
		}
		return a.create(path, slot, p.Entry, &cur)
	}
	return a.create(path, slot, p.Entry, nil)
}

// pathOf returns where a name is on disk, if its directory is there.
func (a *applier) pathOf(slot index.Slot) (string, bool) {
	path, err := a.tx.Path(slot)
	if err != nil {
		return "", false
	}
	return path, true
}

// source finds a name on disk that the file can be moved or linked from.
func (a *applier) source(e object.Entry) (from *index.Node, linked bool) {
	for _, slot := range a.tx.Slots(e.ID) {
		n, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || n.Kind != e.Kind {
			continue
		}
		if !a.belongs(n) {
			return &n, false
		}
		if e.Kind == object.File {
			from, linked = &n, true
		}
	}
	return from, linked
}

// belongs tells whether the head has the file at the name where it is. Names
// are told by their directory's identity: that one may have to move yet.
func (a *applier) belongs(n index.Node) bool {
	at := claim{n.Slot(), n.ID}
	_, aside := a.asides[at.Slot]
	return a.arrive[at] || !a.leave[at] && !aside
}

// clear empties a name for another file: what goes elsewhere is moved out of
// the way, what goes altogether is removed. Whatever was edited locally stays,
// and the name with it.
func (a *applier) clear(path string, n index.Node) error {
	if a.added[n.ID] {
		return cmp.Or(a.aside(path, n), errAgain)
	}
	for _, p := range a.gone {
		at, ok := a.pathOf(index.Slot{Parent: p.Parent, Name: p.Entry.Name})
		if !ok || !within(at, path) {
			continue
		}
		child, ok := a.tx.Get(p.Parent, p.Entry.Name)
		if !ok || child.ID != p.Entry.ID {
			continue
		}
		var err error
		if a.added[child.ID] {
			err = cmp.Or(a.aside(at, child), errAgain)
		} else {
			err = a.remove(p)
		}
		if err != nil {
			return err
		}
	}
	if _, still := a.tx.Get(n.Parent, n.Name); still {
		return tree.ErrChanged // it holds what the diff does not know
	}
	return nil
}

// aside moves what is at a name out of the way, under a hidden name.
func (a *applier) aside(path string, n index.Node) error {
	at := asideSlot(n)
	info, err := a.r.tree.Rename(path, at.Name, expectNode(n))
	if err != nil {
		return err
	}
	a.asides[at] = n.Slot()
	return a.renamed(n, at, info)
}

// renamed records that a file was renamed to slot.
func (a *applier) renamed(n index.Node, slot index.Slot, info tree.Info) error {
	a.renames = true
	if err := a.moveNode(n.Slot(), slot); err != nil {
		return err
	}
	n.Parent, n.Name, n.Ctime = slot.Parent, slot.Name, info.Ctime
	if err := a.put(n); err != nil {
		return err
	}
	return a.restatAll(n)
}

// rename gives a file that is as the index says another name.
func (a *applier) rename(n index.Node, path string, slot index.Slot) error {
	old, ok := a.pathOf(n.Slot())
	if !ok {
		return errParentWaits
	}
	info, err := a.r.tree.Rename(old, path, expectNode(n))
	if errors.Is(err, tree.ErrChanged) || isAbsent(err) {
		if there, e := a.r.tree.Stat(path); e == nil && there.Key == n.Key {
			info, err = there, nil // it was moved before a crash
		}
	}
	if err != nil {
		return err
	}
	return a.renamed(n, slot, info)
}

// move renames a file or directory to its new name.
func (a *applier) move(path string, slot index.Slot, from index.Node, e object.Entry) error {
	if err := a.rename(from, path, slot); err != nil {
		return err
	}
	n, ok := a.tx.Get(slot.Parent, slot.Name)
	if !ok {
		return nil
	}
	return a.update(path, n, e)
}

// link gives a file one more name.
func (a *applier) link(path string, slot index.Slot, from index.Node, e object.Entry) error {
	old, ok := a.pathOf(from.Slot())
	if !ok {
		return errParentWaits
	}
	info, err := a.r.tree.Link(old, path, expectNode(from))
	if err != nil {
		return err
	}
	n := from
	n.Parent, n.Name, n.Ctime = slot.Parent, slot.Name, info.Ctime
	if err := a.put(n); err != nil {
		return err
	}
	if err := a.restatAll(n); err != nil {
		return err
	}
	if n, ok = a.tx.Get(slot.Parent, slot.Name); !ok {
		return nil
	}
	return a.update(path, n, e)
}

// create makes a new file, directory or link; over, if not nil, is the file
// that it replaces.
func (a *applier) create(path string, slot index.Slot, e object.Entry, over *index.Node) error {
	var info tree.Info
	var err error
	switch e.Kind {
	case object.Dir:
		info, err = a.r.tree.Mkdir(path, e.Mode|0o700)
		if errors.Is(err, tree.ErrChanged) {
			info, err = a.adoptDir(path)
		}
		a.modes = append(a.modes, laterMode{slot, e.Mode})
	case object.Symlink:
		info, err = a.symlink(path, e, over)
	default:
		info, err = a.write(path, e, over)
	}
	if err != nil {
		if same, ok := a.alreadyThere(path, e); ok {
			info, err = same, nil
		}
	}
	if err != nil {
		return err
	}
	if err := a.record(slot, e, info); err != nil || over == nil {
		return err
	}
	return a.restatAll(*over) // it has a name less
}

// adoptDir takes a directory that is there already: two nodes made it, or an
// apply before this one.
func (a *applier) adoptDir(path string) (tree.Info, error) {
	info, err := a.r.tree.Stat(path)
	if err == nil && !isDir(info) {
		err = tree.ErrChanged
	}
	return info, err
}

// alreadyThere tells whether the name already is what it should become, as
// after a crash between an apply and its index.
func (a *applier) alreadyThere(path string, e object.Entry) (tree.Info, bool) {
	info, err := a.r.tree.Stat(path)
	if err != nil {
		return info, false
	}
	if kind, ok := kindOf(info); !ok || kind != e.Kind || kind == object.Dir {
		return info, false
	}
	id, err := a.r.hashPath(path, info)
	if err != nil || id != e.Blob {
		return info, false
	}
	if e.Kind == object.Symlink {
		return info, info.Mtime == e.Mtime
	}
	x, err := a.r.xattrs(path)
	return info, err == nil && sameXattrs(x, e.Xattrs) && info.Mtime == e.Mtime && mirroredMode(info.Mode, e.Kind) == e.Mode
}

func (a *applier) symlink(path string, e object.Entry, over *index.Node) (tree.Info, error) {
	target, err := a.r.store.ReadBlob(e.Blob, maxSymlink)
	if err != nil {
		return tree.Info{}, err
	}
	dir, _ := splitPath(path)
	like, want := replaced(over)
	tmp, err := a.r.tree.NewTempSymlink(dir, string(target), e.Mtime, like)
	if err != nil {
		return tree.Info{}, err
	}
	defer tmp.Discard()
	return a.r.tree.Place(tmp, path, want)
}

// write places a file's content.
func (a *applier) write(path string, e object.Entry, over *index.Node) (tree.Info, error) {
	content, _, err := a.r.store.OpenBlob(e.Blob)
	if err != nil {
		return tree.Info{}, err
	}
	defer content.Close()
	dir, _ := splitPath(path)
	like, want := replaced(over)
	if like != nil {
		if now, err := a.r.tree.Stat(path); err == nil {
			like = &now // its owner, which the index does not know
		}
	}
	tmp, err := a.r.tree.NewTemp(dir, e.Mode, like)
	if err != nil {
		return tree.Info{}, err
	}
	defer tmp.Discard()
	if _, err := io.Copy(tmp, content); err != nil {
		return tree.Info{}, fmt.Errorf("write %s: %w", path, err)
	}
	if len(e.Xattrs) > 0 {
		if err := tmp.SetXattrs(treeXattrs(e.Xattrs)); err != nil {
			return tree.Info{}, err
		}
	}
	if err := tmp.SetMtime(e.Mtime); err != nil {
		return tree.Info{}, err
	}
	return a.r.tree.Place(tmp, path, want)
}

// replaced returns what a new file takes its owner from, and what its slot
// must hold.
func replaced(over *index.Node) (*tree.Info, tree.Expect) {
	if over == nil {
		return nil, tree.Absent()
	}
	info := diskInfo(*over)
	return &info, tree.Exactly(info)
}

// change brings an entry that stays at its name up to date.
func (a *applier) change(p placed) error {
	slot := index.Slot{Parent: p.Parent, Name: p.Entry.Name}
	path, ok := a.pathOf(slot)
	if !ok {
		return errParentWaits
	}
	n, ok := a.tx.Get(slot.Parent, slot.Name)
	if !ok || n.ID != p.Entry.ID {
		return a.add(p)
	}
	return a.update(path, n, p.Entry)
}

// update gives the file at path, which is as the index says in n, the content
// and attributes of e.
func (a *applier) update(path string, n index.Node, e object.Entry) error {
	if sameOnDisk(n.Entry, e) {
		mode := n.Mode
		n.Entry = withName(e, n.Name)
		n.Mode = mode // the disk's, which may have bits that are not mirrored
		a.r.retag(n)
		return a.put(n)
	}
	if done, err := a.rejoin(path, n, e); done || err != nil {
		return err
	}
	info, err := a.rewrite(path, n, e)
	if err != nil {
		same, ok := a.alreadyThere(path, e)
		if !ok {
			return err
		}
		info = same
	}
	if err := a.record(n.Slot(), e, info); err != nil {
		return err
	}
	return a.relink(n, e)
}

func (a *applier) rewrite(path string, n index.Node, e object.Entry) (tree.Info, error) {
	switch {
	case e.Kind == object.Symlink:
		return a.symlink(path, e, &n)
	case e.Kind == object.Dir || e.Blob == n.Blob:
		var attr tree.Attr
		if mirroredMode(n.Mode, n.Kind) != e.Mode {
			attr.Mode = &e.Mode
		}
		if e.Kind == object.File && e.Mtime != n.Entry.Mtime {
			attr.Mtime = &e.Mtime
		}
		if !sameXattrs(n.Xattrs, e.Xattrs) {
			x := treeXattrs(e.Xattrs)
			attr.Xattrs = &x
		}
		return a.r.tree.SetAttr(path, expectNode(n), attr)
	}
	return a.write(path, e, &n)
}

// rejoin makes a name a hard link again where another name of its file has
// been brought up to date already, as when an apply stopped between the two.
func (a *applier) rejoin(path string, n index.Node, e object.Entry) (bool, error) {
	if e.Kind != object.File {
		return false, nil
	}
	for _, slot := range a.tx.Slots(e.ID) {
		other, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || other.Key == n.Key || !sameOnDisk(other.Entry, e) {
			continue
		}
		at, ok := a.pathOf(slot)
		if !ok {
			continue
		}
		if err := a.linkOver(at, path, n); err != nil {
			return false, err
		}
		linked := other
		linked.Parent, linked.Name, linked.Conflict = n.Parent, n.Name, e.Conflict
		if err := a.put(linked); err != nil {
			return false, err
		}
		return true, errors.Join(a.restatAll(linked), a.restatAll(n))
	}
	return false, nil
}

// relink gives the other names of a hard link the inode that took the place of
// theirs.
func (a *applier) relink(was index.Node, e object.Entry) error {
	now, ok := a.tx.Get(was.Parent, was.Name)
	if !ok || e.Kind != object.File {
		return nil
	}
	path, ok := a.pathOf(now.Slot())
	if !ok {
		return nil
	}
	others := 0
	for _, slot := range a.tx.Slots(e.ID) {
		n, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || slot == now.Slot() || n.Key != was.Key {
			continue
		}
		at, ok := a.pathOf(slot)
		if !ok {
			continue
		}
		others++
		if now.Key != was.Key {
			if err := a.linkOver(path, at, n); err != nil {
				return err
			}
		}
		linked := now
		linked.Parent, linked.Name, linked.Conflict = n.Parent, n.Name, n.Conflict
		if err := a.put(linked); err != nil {
			return err
		}
	}
	if others == 0 {
		return nil
	}
	return a.restatAll(now)
}

// linkOver makes the name at, which is as the index says in n but for a link
// that the file has lost, another name of the file at path.
func (a *applier) linkOver(path, at string, n index.Node) error {
	now, err := a.r.tree.Stat(path)
	if err != nil {
		return err
	}
	old, err := a.r.tree.Stat(at)
	if err != nil {
		return err
	}
	n.Ctime = old.Ctime
	dir, _ := splitPath(at)
	tmp, err := a.r.tree.NewTempLink(dir, path, tree.Exactly(now))
	if err != nil {
		return err
	}
	defer tmp.Discard()
	_, err = a.r.tree.Place(tmp, at, expectNode(n))
	return err
}

// restatAll records the stat of a file at all its names, after its link count
// changed.
func (a *applier) restatAll(n index.Node) error {
	for _, slot := range a.tx.Slots(n.ID) {
		if other, ok := a.tx.Get(slot.Parent, slot.Name); ok && other.Key == n.Key {
			if err := a.restat(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// restat records the stat that a node has on disk now.
func (a *applier) restat(n index.Node) error {
	path, ok := a.pathOf(n.Slot())
	if !ok {
		return nil
	}
	info, err := a.r.tree.Stat(path)
	if err != nil {
		return err
	}
	if info.Key != n.Key {
		return nil
	}
	n.Ctime = info.Ctime
	return indexed(a.tx.Put(n))
}

// remove takes an entry away from a name that no longer has it.
func (a *applier) remove(p placed) error {
	n, ok := a.tx.Get(p.Parent, p.Entry.Name)
	if !ok || n.ID != p.Entry.ID {
		return nil // moved, replaced, or removed before
	}
	path, ok := a.pathOf(n.Slot())
	if !ok {
		return nil
	}
	if a.added[n.ID] && !a.isPlaced(n) {
		return errParentWaits
	}
	var err error
	if n.Kind == object.Dir {
		err = a.r.tree.Rmdir(path, expectNode(n))
	} else {
		err = a.r.tree.Remove(path, expectNode(n))
	}
	if err != nil && !isAbsent(err) {
		if !errors.Is(err, tree.ErrNotEmpty) || !a.keepsOnlyIgnored(path, n) {
			return err
		}
	}
	if err := a.forget(n); err != nil {
		return err
	}
	return a.restatAll(n)
}

// isPlaced tells whether a file that the head has at other names is at one of
// them: until then its old name is not taken away.
func (a *applier) isPlaced(n index.Node) bool {
	for _, slot := range a.tx.Slots(n.ID) {
		other, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || slot == n.Slot() {
			continue
		}
		if a.belongs(other) {
			return true
		}
	}
	return false
}

// keepsOnlyIgnored tells that a directory holds nothing but what is not
// mirrored: it stays on this disk, and is no part of the mirror any more.
func (a *applier) keepsOnlyIgnored(path string, n index.Node) bool {
	names, err := a.r.tree.ReadDir(path)
	if err != nil {
		return false
	}
	for _, name := range names {
		at := join(path, name.Name)
		if !a.r.skip(at, name.Mode&unix.S_IFMT == unix.S_IFDIR) {
			return false
		}
	}
	a.r.kept.add(path)
	return true
}

// forget takes a node that is no longer on disk out of the index.
func (a *applier) forget(n index.Node) error {
	if err := a.r.untag(a.tx, n); err != nil {
		return err
	}
	a.touched[n.Slot()] = true
	_, err := a.tx.DeleteTree(n.Parent, n.Name)
	return indexed(err)
}

// record puts an entry with the stat it has on disk now.
func (a *applier) record(slot index.Slot, e object.Entry, info tree.Info) error {
	n := index.Node{Parent: slot.Parent, Entry: withName(e, slot.Name), Key: info.Key, Size: info.Size, Ctime: info.Ctime}
	n.Mode = info.Perm()
	if was, ok := a.tx.Get(slot.Parent, slot.Name); ok && e.Kind == object.Dir && was.ID == e.ID {
		n.Uncertain = was.Uncertain // it is still to be walked
	}
	a.r.retag(n)
	return a.put(n)
}

// setModes gives new directories their modes and attributes, now that they are
// filled.
func (a *applier) setModes() error {
	for i := len(a.modes) - 1; i >= 0; i-- {
		n, ok := a.tx.Get(a.modes[i].slot.Parent, a.modes[i].slot.Name)
		path, there := a.pathOf(a.modes[i].slot)
		if !ok || !there {
			continue
		}
		mode := a.modes[i].mode
		attr := tree.Attr{Mode: &mode}
		if len(n.Xattrs) > 0 {
			x := treeXattrs(n.Xattrs)
			attr.Xattrs = &x
		}
		info, err := a.r.tree.SetAttr(path, expectNode(n), attr)
		if err != nil {
			a.waits = append(a.waits, path)
			a.r.report(path, err)
			a.r.retrySoon()
			continue
		}
		n.Mode, n.Ctime = info.Perm(), info.Ctime
		if err := a.put(n); err != nil {
			return err
		}
	}
	return nil
}
