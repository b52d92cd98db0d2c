package backend

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// scanPause is how long after a scan the next one comes, where it was not complete
// or changes cannot be watched.
const scanPause = time.Minute

// scanResult is what a scan found.
type scanResult struct {
	looked  int      // names looked at
	found   []string // created or changed
	missing []string // gone; a directory stands for all below it
	files   int      // how many files missing stands for
	err     error    // why the scan is not complete: nothing counts as missing then
}

// scan compares the backing directory with the index by stat. It may run
// beside the worker: what changes meanwhile is marked anyway, and the committer
// looks again before it believes anything.
func (r *resource) scan(ctx context.Context) (*scanResult, error) {
	s := &scanner{r: r, ctx: ctx}
	err := r.index.View(func(tx *index.Tx) error {
		s.tx = tx
		if err := s.dir("", object.FileID{}); err != nil {
			return err
		}
		return s.finishReplaced()
	})
	if err != nil {
		return nil, err
	}
	if s.err == nil {
		s.err = r.checkPlace()
	}
	if s.err == nil && len(s.missing) == 0 { // as after a copy without its attributes
		if _, err := r.adoptRoot(); err != nil {
			s.failed("", err)
		}
	}
	if s.err == nil {
		s.err = r.checkRoot()
	}
	return &s.scanResult, nil
}

type scanner struct {
	scanResult
	r   *resource
	ctx context.Context
	tx  *index.Tx

	met      map[journal.FileKey]bool // known directories, wherever they are
	replaced []replacedDir
}

// replacedDir is a name at which something else is than the directory that the
// index has there.
type replacedDir struct {
	path string
	was  index.Node
	is   tree.Info
}

// list reads a directory, unless the scan is to end or that fails.
func (s *scanner) list(path string) (names []tree.Name, ok bool) {
	if s.ctx.Err() != nil {
		return nil, false
	}
	names, err := s.r.tree.ReadDir(path)
	if err != nil {
		s.failed(path, err)
	}
	return names, err == nil
}

// dir compares one directory that the index knows as id.
func (s *scanner) dir(path string, id object.FileID) error {
	names, ok := s.list(path)
	if !ok {
		return s.ctx.Err()
	}
	var nodes []index.Node
	if err := s.tx.Children(id, func(n index.Node) error {
		nodes = append(nodes, n)
		return nil
	}); err != nil {
		return err
	}
	for len(names) > 0 || len(nodes) > 0 {
		var err error
		switch {
		case len(nodes) == 0 || len(names) > 0 && names[0].Name < nodes[0].Name:
			err = s.entry(join(path, names[0].Name), nil)
			names = names[1:]
		case len(names) == 0 || nodes[0].Name < names[0].Name:
			err = s.gone(join(path, nodes[0].Name), nodes[0])
			nodes = nodes[1:]
		default:
			err = s.entry(join(path, names[0].Name), &nodes[0])
			names, nodes = names[1:], nodes[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry looks at one name and at all below it; n is what the index has at it.
func (s *scanner) entry(path string, n *index.Node) error {
	info, isDir, err := s.name(path, n)
	if err != nil || !isDir {
		return err
	}
	if isNode(n, object.Dir, info) {
		s.meet(info)
		return s.dir(path, n.ID)
	}
	if moved := s.known(info); moved != nil {
		s.meet(info)
		return s.dir(path, moved.ID)
	}
	return s.newDir(path)
}

func (s *scanner) meet(info tree.Info) {
	if s.met == nil {
		s.met = map[journal.FileKey]bool{}
	}
	s.met[info.Key] = true
}

// known is the directory that the index knows by its inode; nil: none.
func (s *scanner) known(info tree.Info) *index.Node {
	for _, slot := range s.tx.ByKey(info.Key) {
		if n, ok := s.tx.Get(slot.Parent, slot.Name); ok && n.Kind == object.Dir {
			return &n
		}
	}
	return nil
}

// finishReplaced looks, once all is seen, at the directories that are not where
// they were: one that is nowhere takes all that was in it along, unless a new
// directory has its name, which takes its place.
func (s *scanner) finishReplaced() error {
	var gone []replacedDir
	for i := 0; i < len(s.replaced); i++ { // it may grow
		d := s.replaced[i]
		if s.met[d.was.Key] {
			continue
		}
		if !isDir(d.is) || s.known(d.is) != nil {
			gone = append(gone, d)
			continue
		}
		if err := s.dir(d.path, d.was.ID); err != nil {
			return err
		}
	}
	for _, d := range gone {
		if s.met[d.was.Key] {
			continue
		}
		if err := s.gone(d.path, d.was); err != nil {
			return err
		}
	}
	return nil
}

// newDir looks for directories that were moved into one which the index does not
// know. The rest of what is in it the committer finds, which walks new
// directories, but no others.
func (s *scanner) newDir(path string) error {
	names, ok := s.list(path)
	if !ok {
		return s.ctx.Err()
	}
	for _, n := range names {
		if n.Mode != unix.S_IFDIR {
			s.looked++
			continue
		}
		if err := s.entry(join(path, n.Name), nil); err != nil {
			return err
		}
	}
	return nil
}

// name looks at one name alone and tells whether a directory of the resource's
// is there.
func (s *scanner) name(path string, n *index.Node) (info tree.Info, dir bool, err error) {
	info, err = s.r.tree.Stat(path)
	switch {
	case isAbsent(err) && n != nil:
		return info, false, s.gone(path, *n)
	case isAbsent(err):
		return info, false, nil
	case err != nil:
		s.failed(path, err)
		return info, false, nil
	}
	if s.r.skip(path, isDir(info)) || n == nil && s.r.keeps(s.tx, path, info) {
		return info, false, nil
	}
	s.looked++
	kind, mirrored := kindOf(info)
	if n != nil && n.Kind == object.Dir && !isNode(n, kind, info) {
		s.replaced = append(s.replaced, replacedDir{path, *n, info})
	}
	if !mirrored {
		s.r.local.add(path)
		if n != nil {
			s.found = append(s.found, path)
		}
		return info, false, nil
	}
	if !isRecorded(n, info) {
		s.found = append(s.found, path)
	}
	return info, kind == object.Dir, nil
}

// isRecorded tells whether what is there is just what the index has there.
func isRecorded(n *index.Node, info tree.Info) bool {
	kind, _ := kindOf(info)
	return isNode(n, kind, info) && !n.Uncertain && (kind == object.Dir || sameStat(diskInfo(*n), info)) && diskInfo(*n).Mode == info.Mode
}

// isNode tells whether what is there is what the index has there, or may be.
func isNode(n *index.Node, kind object.Kind, info tree.Info) bool {
	return n != nil && n.Kind == kind && sameKey(*n, info)
}

func (s *scanner) gone(path string, n index.Node) error {
	if s.r.skip(path, n.Kind == object.Dir) {
		return nil // ignored since: leaving the tree by policy is no delete
	}
	s.missing = append(s.missing, path)
	return s.count(n)
}

// count adds the files of what is gone.
func (s *scanner) count(n index.Node) error {
	if n.Kind != object.Dir {
		s.files++
		return nil
	}
	return s.tx.Children(n.ID, s.count)
}

func (s *scanner) failed(path string, err error) {
	if !isAbsent(err) { // else it went away meanwhile
		s.r.report(path, err)
	}
	if s.err == nil {
		s.err = fmt.Errorf("scan of %q: %w", path, err)
	}
}

// finishScan takes up what a scan found, but for deletes that are held back.
func (r *resource) finishScan(s *scanResult) error {
	r.finds = finds{paths: s.found}
	r.scannedAll.Store(s.err == nil)
	if r.isUnwatched() {
		r.scanAgain = earlier(r.scanAgain, r.now().Add(scanPause))
	}
	held, err := r.holdBack(s)
	if err != nil {
		return err
	}
	if r.missing = nil; held {
		r.missing = make(map[string]bool, len(s.missing))
		for _, path := range s.missing {
			r.missing[path] = true
		}
		r.scanAgain = earlier(r.scanAgain, r.now().Add(scanPause))
		return nil
	}
	r.finds = finds{paths: append(s.found, s.missing...), all: true}
	return nil
}

// finds is what the last scan found and the journal does not know yet, in the
// order that it is to be committed in: what is missing comes last, when all that
// it may have become is settled.
type finds struct {
	paths []string
	all   bool // there is nothing else to find
}

// handOver marks as many of the finds as one commit takes. With the last of them
// the journal knows all.
func (r *resource) handOver() error {
	if n := min(len(r.finds.paths), r.atOnce); n > 0 {
		if err := r.journal.Found(r.name, r.finds.paths[:n]...); err != nil {
			return err
		}
		r.finds.paths = r.finds.paths[n:]
	}
	if len(r.finds.paths) > 0 || !r.finds.all {
		return nil
	}
	r.finds = finds{}
	if r.wantScan || r.scanning {
		return nil
	}
	return r.setUnseen(false)
}

// setUnseen notes over restarts whether a scan is wanted.
func (r *resource) setUnseen(unseen bool) error {
	return r.index.Update(func(tx *index.Tx) error { return tx.SetUnseen(unseen) })
}

// needScan has all of the resource looked at, soon, although nothing was said to
// have changed.
func (r *resource) needScan(why string, err error) {
	r.wantScan = true
	r.log.Info("a scan is needed", "resource", r.name, "since", why, "error", err)
}

// startScan scans beside the worker.
func (r *resource) startScan(ctx context.Context) {
	if err := r.setUnseen(true); err != nil { // without the note it would be forgotten in a crash
		r.report("", err)
		r.retrySoon()
		return
	}
	r.wantScan, r.scanning = false, true
	r.background.Go(func() {
		if !r.journaled {
			r.watchBeside(ctx)
		}
		res, err := r.scan(ctx)
		finish := func() {
			r.scanning = false
			if res != nil {
				r.scannedAtStart.CompareAndSwap(-1, int64(res.looked))
			}
			if err == nil {
				err = r.finishScan(res)
			}
			if err != nil && ctx.Err() == nil {
				r.report("", err)
			}
			r.catchUp = true
			r.changed()
		}
		select {
		case r.calls <- finish:
		case <-ctx.Done():
		}
	})
}

// refresh brings the head up to date with the disk: from the journal where
// every change goes through a mount, else by a scan.
func (r *resource) refresh(ctx context.Context) error {
	var err error
	if r.journaled {
		err = r.commitAll(ctx)
	} else {
		err = r.rescan(ctx)
	}
	if err != nil {
		return err
	}
	return r.applyIfBehind(ctx)
}

// rescan scans and commits on the worker: no change is told of meanwhile.
func (r *resource) rescan(ctx context.Context) error {
	res, err := r.scan(ctx)
	if err != nil {
		return err
	}
	if !r.isUnwatched() {
		r.scanAgain = time.Time{} // else that is what watches again
	}
	if err := r.finishScan(res); err != nil {
		return err
	}
	return r.commitAll(ctx)
}
