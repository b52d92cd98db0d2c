package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

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
	waits   map[string]string               // names that are not as the head has them, and why
}

// claim is a file at one name.
type claim struct {
	index.Slot
	id object.FileID
}

func claimOf(p placed) claim {
	return claim{index.Slot{Parent: p.Parent, Name: p.Entry.Name}, p.Entry.ID}
}

// apply moves the backing directory to the head, as far as that can be done
// now. The rest waits; r.behind says that there is one.
func (r *resource) apply(ctx context.Context) error {
	id, c := r.headNow()
	if c == nil {
		return nil
	}
	a := &applier{r: r, head: c.Tree, touched: map[index.Slot]bool{}, waits: map[string]string{}}
	err := a.begin()
	if err == nil && len(a.steps) > 0 && errors.Is(r.checkRoot(), tree.ErrUnhealthy) {
		// What is put there would be missing, as if it were deleted, where the
		// right directory is back.
		a.steps, a.waits[""] = nil, "another directory may be in the place of this one"
	}
	if err == nil {
		err = a.run(ctx)
	}
	if err == nil {
		a.steps = a.emptyAsides()
		err = a.run(context.WithoutCancel(ctx))
	}
	if err == nil {
		err = r.index.Update(func(tx *index.Tx) error {
			a.tx = tx
			return a.end(id)
		})
	}
	if err != nil {
		r.behind = true
		r.needScan("an update was cut short", err) // the disk may be ahead of the index now
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
	if err := a.setModes(); err != nil {
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
		if tree.IsTemp(p.Path) { // an apply before this one was cut short
			a.asides[claimOf(p).Slot] = index.Slot{}
		}
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
			for n := 0; len(a.steps) > 0 && !a.renames && n < a.r.atOnce; n++ {
				s := a.steps[0]
				if ctx.Err() != nil {
					a.waits[s.Path] = "smfs ends"
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
	a.waits[path] = a.whyWaits(path, err)
	return nil
}

// edited has the committer look at a name that is not as the index says, and
// at the one where that was noticed. That one is missing is no deed: a scan
// tells, unless the journal knows of one.
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
			if err := a.unaccounted(path); err != nil {
				a.r.needScan("a name is not as it was left", err)
			}
			continue
		}
		if err := a.r.journal.Found(a.r.name, path); err != nil {
			return err
		}
	}
	a.r.retrySoon()
	return nil
}

// unaccounted looks at a name that is not there, or at the directories above it,
// up to what should be there: why it is not, if nothing has told of that.
func (a *applier) unaccounted(path string) error {
	for path != "" {
		if _, known := a.tx.Lookup(path); known {
			_, err := a.r.tree.Stat(path)
			if err == nil || a.r.isMissing(path) || a.r.journal.MarkedAbove(a.r.name, path) {
				return nil
			}
			return err
		}
		path, _ = splitPath(path)
	}
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

// errParentWaits says that the directory of an entry is not there yet.
var errParentWaits = errors.New("its directory is not there yet")

// at is a path's slot in the directory that the index has there: what an apply
// changes in a directory it does not change in another one that is moved to its
// place meanwhile.
func (a *applier) at(path string) tree.Slot {
	dir, _ := splitPath(path)
	n, _ := a.tx.Lookup(dir)
	return tree.Slot{Path: path, Dir: n.Key}
}

// pathOf returns where a name is on disk, if its directory is there.
func (a *applier) pathOf(slot index.Slot) (string, bool) {
	path, err := a.tx.Path(slot)
	if err != nil {
		return "", false
	}
	return path, true
}
