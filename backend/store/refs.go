package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/object"
)

// ErrRefChanged says that a ref is not what the update expected.
var ErrRefChanged = errors.New("ref has changed")

// RefUpdate moves one ref. The zero id means "does not exist": as Old, the ref
// must be new; as New, it is deleted.
type RefUpdate struct {
	Name     string
	Old, New object.CommitID
}

// refStore reads and writes refs in git's own files.
type refStore struct {
	dir  string
	disk disk

	mu     sync.Mutex // held over an update
	headMu sync.Mutex // guards head; innermost
	head   object.CommitID
	tmp    int // numbers temporaries; guarded by mu
}

func (r *refStore) setHead(id object.CommitID) {
	r.headMu.Lock()
	r.head = id
	r.headMu.Unlock()
}

// refreshHead reads the head again: an update moved it, or failed because
// somebody did so with plain git.
func (r *refStore) refreshHead() {
	if id, err := r.read(HeadRef); err == nil {
		r.setHead(id)
	}
}

func (r *refStore) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// read returns a ref's value, zero where there is none.
func (r *refStore) read(name string) (object.CommitID, error) {
	data, err := os.ReadFile(r.path(name))
	switch {
	case err == nil:
		return parseRef(name, data)
	case !isAbsent(err):
		return object.CommitID{}, fmt.Errorf("read ref %s: %w", name, err)
	}
	packed, err := r.packed()
	return packed[name], err
}

// isAbsent covers a name below another ref, or one that is a directory of refs.
func isAbsent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTDIR)
}

func parseRef(name string, data []byte) (object.CommitID, error) {
	id, err := object.ParseCommitID(strings.TrimSuffix(string(data), "\n"))
	if err != nil || id.IsZero() {
		return object.CommitID{}, fmt.Errorf("%w: %s holds %.60q, not a commit id", ErrDamaged, name, data)
	}
	return id, nil
}

// packed reads the refs that `git pack-refs` or `git gc` moved to one file.
func (r *refStore) packed() (map[string]object.CommitID, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, "packed-refs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read packed-refs: %w", err)
	}
	refs := map[string]object.CommitID{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' || line[0] == '^' {
			continue
		}
		text, name, _ := strings.Cut(line, " ")
		id, err := parseRef(name, []byte(text))
		if err != nil {
			return nil, fmt.Errorf("packed-refs: %w", err)
		}
		refs[name] = id
	}
	return refs, nil
}

// Head returns refs/heads/main, zero in a store without commits. It does not
// touch the disk.
func (s *Store) Head() object.CommitID {
	s.refs.headMu.Lock()
	defer s.refs.headMu.Unlock()
	return s.refs.head
}

// Ref returns a ref's value, zero where there is none. The error wraps
// ErrDamaged or ErrBadRef.
func (s *Store) Ref(name string) (object.CommitID, error) {
	if err := checkRef(name); err != nil {
		return object.CommitID{}, err
	}
	return s.refs.read(name)
}

// Ref of a listing.
type Ref struct {
	Name   string
	Commit object.CommitID
}

// Refs lists the refs whose names begin with prefix ("refs/smfs/tip/"), sorted
// by name. A ref that cannot be read fails the listing with ErrDamaged.
func (s *Store) Refs(prefix string) ([]Ref, error) {
	all, err := s.refs.packed()
	if err != nil {
		return nil, err
	}
	if all == nil {
		all = map[string]object.CommitID{}
	}
	names, err := s.refs.looseNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if all[name], err = s.refs.read(name); err != nil {
			return nil, err
		}
	}
	var refs []Ref
	for name, id := range all {
		if strings.HasPrefix(name, prefix) && !id.IsZero() {
			refs = append(refs, Ref{name, id})
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

func (r *refStore) looseNames() ([]string, error) {
	var names []string
	err := filepath.WalkDir(r.path("refs"), func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // went while we looked
		}
		if err != nil {
			return fmt.Errorf("list refs: %w", err)
		}
		if e.Type().IsRegular() && !strings.HasSuffix(path, ".lock") {
			names = append(names, filepath.ToSlash(strings.TrimPrefix(path, r.dir+string(filepath.Separator))))
		}
		return nil
	})
	return names, err
}

// UpdateRefs moves refs, each only if it still has its Old value: else none
// moves, and the error wraps ErrRefChanged. The moves are durable when it
// returns; a crash between them leaves the first ones done.
func (s *Store) UpdateRefs(updates ...RefUpdate) error {
	if err := s.refs.update(updates); err != nil {
		return fmt.Errorf("update refs: %w", err)
	}
	return nil
}

func (r *refStore) update(updates []RefUpdate) error {
	for i, u := range updates {
		if err := checkRef(u.Name); err != nil {
			return err
		}
		for _, before := range updates[:i] {
			if before.Name == u.Name {
				return fmt.Errorf("%w: %s is named twice", ErrBadRef, u.Name)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.refreshHead()
	locks := make([]*refLock, 0, len(updates))
	defer func() {
		for _, l := range locks {
			l.release()
		}
	}()
	for _, u := range updates {
		l, err := r.lock(u.Name, u.New)
		if err != nil {
			return err
		}
		locks = append(locks, l)
		now, err := r.read(u.Name)
		if err != nil {
			return err
		}
		if now != u.Old {
			return fmt.Errorf("%w: %s is %s, not %s", ErrRefChanged, u.Name, now, u.Old)
		}
	}
	return r.moveAll(updates, locks)
}

func (r *refStore) moveAll(updates []RefUpdate, locks []*refLock) error {
	var dirs []string
	for i, u := range updates {
		if u.Old == u.New {
			continue
		}
		var err error
		if u.New.IsZero() {
			err = r.delete(u.Name)
		} else {
			err = locks[i].commit()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", u.Name, err)
		}
		if d := filepath.Dir(r.path(u.Name)); !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	for _, d := range dirs {
		if err := r.disk.syncDir(d); err != nil {
			return err
		}
	}
	return nil
}
