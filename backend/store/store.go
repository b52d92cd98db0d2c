package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// HeadRef is the ref of the resource's own head.
const HeadRef = "refs/heads/main"

const (
	tmpPrefix    = "tmp_smfs_" // git gc knows tmp_* in objects/pack as garbage
	dirCacheSize = 100_000     // entries of decoded directories
	commitsCache = 4096
)

// gitConfig keeps plain git from tidying on its own.
const gitConfig = `[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
[gc]
	auto = 0
	pruneExpire = never
[maintenance]
	auto = false
[receive]
	autogc = false
	denyDeletes = true
	denyNonFastForwards = true
`

// Store is one resource's history. All methods are safe for concurrent use.
// One process opens a store at a time; plain git may read it meanwhile.
type Store struct {
	view
	dir    string
	disk   disk
	codec  *codec
	prints *chunk.Prints

	list     atomic.Pointer[[]*pack] // newest first; replaced, never changed
	hasLoose atomic.Bool
	tmp      atomic.Uint64 // numbers temporaries

	// Lock order: consolidating, mu, refs.mu.
	consolidating sync.Mutex
	mu            sync.Mutex // guards meta, problems, and changes of list
	meta          Meta
	problems      []error  // found at Open, told by Check
	mended        []string // at Open; not changed after it
	refs          refStore
}

func newStore(dir string, d disk) *Store {
	dir = filepath.Clean(dir)
	s := &Store{dir: dir, disk: d, codec: &codec{}, prints: chunk.NewPrints()}
	s.list.Store(&[]*pack{})
	s.view = view{
		packs:  func() []*pack { return *s.list.Load() },
		loose:  s.looseDir,
		rescan: s.rescan,
		dirs:   newCache[object.TreeID, *object.Directory](dirCacheSize),
		raw:    newCache[rawKey, []byte](rawCacheSize),
		looked: newCache[object.TreeID, *atomic.Int32](lookedCache),
		heads:  newCache[object.CommitID, *object.Commit](commitsCache),
	}
	s.refs = refStore{dir: dir, disk: d}
	return s
}

// Create makes a new, empty store at dir, which must not exist or be empty,
// and opens it. A Create cut short can be repeated.
func Create(dir string, m Meta) (*Store, error) { return create(dir, m, osDisk{}) }

func create(dir string, m Meta, d disk) (*Store, error) {
	if _, err := os.Lstat(filepath.Join(dir, metaName)); err == nil {
		return nil, fmt.Errorf("create store %s: %w", dir, os.ErrExist)
	}
	if m.Format == 0 {
		m.Format = FormatVersion
	}
	if m.Format != FormatVersion {
		return nil, fmt.Errorf("create store: %w: %d", ErrNewerFormat, m.Format)
	}
	if err := lay(dir, m, d); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	return open(dir, d)
}

// lay writes the files of an empty repository. The description comes last: it
// makes the directory a store.
func lay(dir string, m Meta, d disk) error {
	dirs := []string{"objects/pack", "objects/info", "refs/heads", "refs/tags", refTempDir}
	for _, name := range dirs {
		if err := d.mkdirAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	files := [][2]string{{"HEAD", "ref: " + HeadRef + "\n"}, {"config", gitConfig}}
	for _, f := range files {
		if err := writeDurably(d, dir, filepath.Join(dir, f[0]), []byte(f[1])); err != nil {
			return err
		}
	}
	for _, name := range append(dirs, "objects", "refs", "..") {
		if err := d.syncDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return writeMeta(d, dir, m)
}

// Open opens the store at dir, after a crash too: temporaries go, indexes that
// are missing or damaged are made again from their packs. It fails with
// ErrNewerFormat, ErrDamaged (the description or the head cannot be read), or
// os.ErrNotExist. Damage elsewhere shows when it is read, and in Check.
func Open(dir string) (*Store, error) { return open(dir, osDisk{}) }

func open(dir string, d disk) (*Store, error) {
	s := newStore(dir, d)
	var err error
	if s.meta, err = readMeta(dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	if err = s.recover(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) recover() error {
	if err := s.removeTemps(); err != nil {
		return err
	}
	if err := s.refs.breakStaleLocks(); err != nil {
		return err
	}
	s.hasLoose.Store(hasLooseDirs(s.objects()))
	if err := s.loadPacks(); err != nil {
		return err
	}
	return s.checkHead()
}

// checkHead refuses a store whose head cannot be read: to go on would be to
// commit on top of nothing.
func (s *Store) checkHead() error {
	id, err := s.refs.read(HeadRef)
	if err != nil {
		return err
	}
	s.refs.setHead(id)
	if id.IsZero() {
		return nil
	}
	if _, err := s.Commit(id); err != nil {
		return fmt.Errorf("%w: %s names a commit that cannot be read: %w", ErrDamaged, HeadRef, err)
	}
	return nil
}

func (s *Store) objects() string { return filepath.Join(s.dir, "objects") }
func (s *Store) packDir() string { return filepath.Join(s.dir, "objects", "pack") }

func (s *Store) looseDir() string {
	if !s.hasLoose.Load() {
		return ""
	}
	return s.objects()
}

// tempPath names a new temporary in the directory of packs.
func (s *Store) tempPath(kind string) string {
	return filepath.Join(s.packDir(), fmt.Sprintf("%s%s_%d_%d", tmpPrefix, kind, os.Getpid(), s.tmp.Add(1)))
}

// removeTemps removes what a dead process left. Temporaries of a running git
// have other names.
func (s *Store) removeTemps() error {
	names, err := os.ReadDir(s.packDir())
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: it has no directory objects/pack", ErrDamaged)
	}
	if err != nil {
		return err
	}
	for _, e := range names {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			if err := s.disk.remove(filepath.Join(s.packDir(), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// packNames lists the packs in the directory, without ".pack".
func (s *Store) packNames() ([]string, error) {
	names, err := os.ReadDir(s.packDir())
	if err != nil {
		return nil, err
	}
	var packs []string
	for _, e := range names {
		if name, ok := strings.CutSuffix(e.Name(), ".pack"); ok && strings.HasPrefix(name, "pack-") {
			packs = append(packs, filepath.Join(s.packDir(), name))
		}
	}
	return packs, nil
}

// loadPacks opens every pack. One that cannot be opened is a problem of its
// own objects, not of the store.
func (s *Store) loadPacks() error {
	names, err := s.packNames()
	if err != nil {
		return err
	}
	var packs []*pack
	for _, name := range names {
		p, err := openPack(s.codec, name, nil)
		if errors.Is(err, ErrBadIdx) || errors.Is(err, os.ErrNotExist) {
			if p, err = s.rebuildIdx(name); err == nil {
				s.mended = append(s.mended, "the index of pack "+filepath.Base(name)+" was missing or damaged: it was made again from the pack")
			}
		}
		if err != nil {
			s.problems = append(s.problems, fmt.Errorf("pack %s: %w", filepath.Base(name), err))
		}
		if p != nil {
			packs = append(packs, p)
		}
	}
	s.list.Store(&packs)
	return nil
}

// Mended tells what Open has mended, in words.
func (s *Store) Mended() []string { return s.mended }

// rescan adds packs and loose objects that others put into the directory. It
// reports whether there is anything new to look at.
func (s *Store) rescan() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := !s.hasLoose.Load() && hasLooseDirs(s.objects())
	if found {
		s.hasLoose.Store(true)
	}
	names, err := s.packNames()
	if err != nil {
		return found
	}
	list := *s.list.Load()
	for _, name := range names {
		if slices.ContainsFunc(list, func(p *pack) bool { return p.name == name }) {
			continue
		}
		if p, err := openPack(s.codec, name, nil); err == nil {
			list = append([]*pack{p}, list...)
			found = true
		}
	}
	s.list.Store(&list)
	return found
}

// addPack puts a pack before the others, unless rescan was faster.
func (s *Store) addPack(p *pack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hasPack(p.name) {
		_ = p.file.Close() // it was only read
		return
	}
	list := append([]*pack{p}, *s.list.Load()...)
	s.list.Store(&list)
}

// PackCount is the number of packs. Above 16 it is time to Consolidate.
func (s *Store) PackCount() int { return len(s.packs()) }

// Size is the number of bytes in packs and indexes.
func (s *Store) Size() int64 {
	var n int64
	for _, p := range s.packs() {
		n += p.size + int64(p.idx.size())
	}
	return n
}

// Free is how many bytes the filesystem has left for the store.
func (s *Store) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("look at the room for the store: %w", err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Close closes the packs. Readers still open fail. Batches not committed and
// transfers not accepted are the caller's to discard first.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range *s.list.Swap(&[]*pack{}) {
		errs = append(errs, p.file.Close())
	}
	return errors.Join(errs...)
}
