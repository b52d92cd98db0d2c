package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/tags"
)

// openResource opens what belongs to one resource. A damaged index is made
// anew from the head: only the store cannot be replaced.
func (e *Engine) openResource(conf config.Resource) (r *resource, err error) {
	r = e.newResource(conf)
	defer func() {
		if err != nil {
			err = fmt.Errorf("open resource %s: %w", conf.Name, errors.Join(r.damaged(err), r.close()))
		}
	}()
	indexFile := filepath.Join(e.o.State, "index", conf.Name)
	dir := filepath.Join(e.o.State, "store", conf.Name+".git")
	r.store, err = openStore(dir, e.o.State, indexFile)
	if errors.Is(err, store.ErrDamaged) && r.mendHead(dir, err) {
		r.store, err = openStore(dir, e.o.State, indexFile)
	}
	if err != nil {
		return r, err
	}
	r.past = r.store.Reader()
	for _, text := range r.store.Mended() {
		r.hasMended("store", "%s", text)
	}
	r.setWriter()
	if err := r.openTree(e.o.Base); err != nil {
		return r, err
	}
	if err := r.openHead(); err != nil {
		return r, err
	}
	if err := r.openIndex(indexFile); err != nil {
		return r, err
	}
	return r, r.loadTags()
}

// newResource is a resource of which nothing is open.
func (e *Engine) newResource(conf config.Resource) *resource {
	r := &resource{
		name: conf.Name, conf: conf, state: filepath.Join(e.o.Config.Base, node.StateDir), journal: e.o.Journal, ignore: config.NewIgnore(conf.Ignore, conf.VCS),
		random: random, now: e.o.now, log: e.log, nodeName: e.o.Node.Name, generation: &e.generation, key: e.o.Node.Signer,
		journaled: e.o.Mounted && !conf.External, looks: looks{},
		clean:    e.o.Clean,
		atOnce:   e.o.commitNames,
		wantScan: !e.o.Trusted || !e.o.Mounted || conf.External || e.o.Journal.Recovery().Damaged,
		calls:    make(chan func()), retry: make(chan struct{}, 1), ready: make(chan struct{}), held: make(chan struct{}),
		local: &pathSet{}, nodes: map[string]*link{}, leftOut: map[string]leftOut{}, watchers: map[chan struct{}]struct{}{}, tagged: tags.NewIndex(),
	}
	if e.o.Repair {
		r.aside = e.asideDir()
	}
	r.scannedAtStart.Store(-1)
	if h := conf.Conflict; h != config.KeepBoth {
		r.log.Warn("this handler of conflicts does not act yet: both versions are kept", "resource", r.name, "conflict", string(h))
	}
	for _, other := range e.o.Config.Resources {
		if rel, ok := strings.CutPrefix(other.Directory, conf.Directory+"/"); ok && other.Name != conf.Name {
			r.skipped = append(r.skipped, rel)
		}
	}
	return r
}

// openStore opens the store at dir, or makes one. A mirror that was copied or
// restored (another machine, another state directory) gets a new incarnation: its
// commits must not be taken for those of the original. Its index goes, which
// tells files by their inodes: those are other ones now.
func openStore(dir, state, indexFile string) (*store.Store, error) {
	here, err := placeOf(state)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		id, err := newID()
		if err != nil {
			return nil, err
		}
		incarnation, err := newID()
		if err != nil {
			return nil, err
		}
		return store.Create(dir, store.Meta{ResourceIDs: []string{id}, Incarnation: incarnation, MachineID: here.machine, StateInode: here.inode})
	}
	s, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	m := s.Meta()
	if m.MachineID == here.machine && m.StateInode == here.inode {
		return s, nil
	}
	m.MachineID, m.StateInode = here.machine, here.inode
	if m.Incarnation, err = newID(); err == nil {
		err = index.Remove(indexFile)
	}
	if err == nil {
		err = s.SetMeta(m)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// place is where a state directory is; a copy is in another one.
type place struct {
	machine string
	inode   uint64
}

func placeOf(state string) (place, error) {
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return place{}, fmt.Errorf("read machine id: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(state, &st); err != nil {
		return place{}, fmt.Errorf("stat state directory: %w", err)
	}
	return place{strings.TrimSpace(string(machine)), st.Ino}, nil
}

// String is an id of the place.
func (p place) String() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", p.machine, p.inode))
	return hex.EncodeToString(sum[:8])
}

// newID is a random name: of a resource, of an incarnation.
func newID() (string, error) {
	var b [10]byte
	if _, err := random.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// openTree opens the backing directory by fd, and marks a new one.
func (r *resource) openTree(base int) error {
	empty := r.store.Head().IsZero() && r.store.PackCount() == 0
	if err := r.openDirectory(base, empty); err != nil {
		return err
	}
	id, err := r.tree.RootID()
	if err == nil && id == "" && empty {
		return r.markRoot()
	}
	if errors.Is(err, tree.ErrUnsupported) {
		return nil
	}
	return err
}

// openDirectory opens the backing directory; create allows to make it.
func (r *resource) openDirectory(base int, create bool) error {
	dir := fmt.Sprintf("/proc/self/fd/%d/%s", base, r.conf.Path)
	if r.conf.External {
		dir = r.conf.Directory
	}
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return WithHint(fmt.Errorf("open directory %s: %w", r.conf.Directory, err), "is its disk mounted?")
	}
	defer unix.Close(fd)
	if r.conf.External {
		r.rootPath, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) // "": it is not watched over
	}
	r.tree, err = tree.Open(fd, tree.Options{Resource: r.name, Problem: r.report})
	return err
}

// openHead reads the head and sets up the sync state.
func (r *resource) openHead() error {
	r.head = r.store.Head()
	lineage := object.NewLineage(r.commitHere)
	if r.head.IsZero() {
		r.replica = replica.New(r.head, nil, lineage)
		return nil
	}
	c, err := r.store.Commit(r.head)
	if err != nil {
		return WithHint(fmt.Errorf("read head %s: %w", r.head, err), "the store is damaged; its other commits can be read with git --git-dir")
	}
	r.headC = c
	r.replica = replica.New(r.head, c.FullCover(r.head), lineage)
	return nil
}

// commitHere reads a commit, if the store has it, without looking further.
func (r *resource) commitHere(id object.CommitID) (*object.Commit, error) {
	if !r.store.Has(id) {
		return nil, fmt.Errorf("%w: %s", store.ErrMissing, id)
	}
	return r.store.Commit(id)
}

// openIndex opens the index; a damaged or missing one is filled from the head,
// and the scan finds what differs.
func (r *resource) openIndex(file string) error {
	err := r.useIndex(file, false)
	if !errors.Is(err, index.ErrDamaged) {
		return err
	}
	r.log.Warn("index is damaged; making it anew", "resource", r.name, "error", err)
	if err := r.dropIndex(file); err != nil {
		return err
	}
	r.hasMended("index", "it was damaged (%v): made anew from the history and the disk", err)
	return r.useIndex(file, true)
}

// useIndex opens the index and what depends on it; told: that it is made anew.
func (r *resource) useIndex(file string, told bool) (err error) {
	if r.index, err = index.Open(file); err != nil {
		return err
	}
	r.synced = openSyncMark(file + syncedSuffix)
	r.growth.open(file + growthSuffix)
	if err := r.findHead(); err != nil {
		if err = r.goBack(file, err); err != nil {
			return err
		}
		told = true
	}
	if err := r.noticeOlderStore(); err != nil {
		return err
	}
	if err := r.finishCommit(); err != nil {
		return err
	}
	if r.aside != "" {
		if err := r.distrustIndex(); err != nil {
			return err
		}
	}
	if err := r.goBackToWhole(); err != nil {
		return err
	}
	return r.index.Update(func(tx *index.Tx) error {
		r.wantScan = r.wantScan || tx.Unseen()
		if r.wantScan {
			if err := tx.SetUnseen(true); err != nil { // until it has ended: also if the engine dies before
				return err
			}
		}
		if r.headC == nil || !tx.Disk().IsZero() || tx.Apart() {
			r.behind = r.headC != nil && (tx.Apart() || tx.Disk() != r.headC.Tree)
			return nil
		}
		if !told {
			r.hasMended("index", "there was none: made anew from the history and the disk")
		}
		return r.fillIndex(tx)
	})
}

// finishCommit moves the head to the commit that the index stands for, where a
// crash came between.
func (r *resource) finishCommit() error {
	var next object.CommitID
	if err := r.index.View(func(tx *index.Tx) error {
		next = tx.Next()
		return nil
	}); err != nil {
		return err
	}
	if next.IsZero() || next == r.head || !r.store.Has(next) {
		return nil
	}
	c, err := r.store.Commit(next)
	if err != nil {
		return err
	}
	var parent object.CommitID
	if len(c.Parents) > 0 {
		parent = c.Parents[0]
	}
	if parent != r.head || c.Writer != r.writer {
		return nil // the head has moved on since
	}
	if err := r.store.UpdateRefs(store.RefUpdate{Name: headRef, Old: r.head, New: next}); err != nil {
		return err
	}
	return r.openHead()
}

func (r *resource) loadTags() error {
	return r.index.View(func(tx *index.Tx) error { return loadTags(tx, r.tagged) })
}

func loadTags(tx *index.Tx, into *tags.Index) error {
	return tx.Tagged(func(n index.Node) error {
		into.Set(tags.File(n.ID), n.Tags.Names())
		return nil
	})
}

func (r *resource) close() error {
	r.background.Wait()
	var errs []error
	if r.index != nil {
		errs = append(errs, r.closeIndex())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.tree != nil {
		errs = append(errs, r.tree.Close())
	}
	return errors.Join(errs...)
}
