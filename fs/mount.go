package fs

import (
	"cmp"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/fs/tree"
	"golang.org/x/sys/unix"
)

// Mount is a mounted mirror. Its methods may be called from any goroutine, but
// never from a handler.
type Mount struct {
	log      *slog.Logger
	journal  Journal
	id       identity
	stateDir string
	paths    map[string]string // resource -> where it is in the mirror
	trees    []*tree.Tree

	root          *DirNode
	table         table
	vols          volumes
	dirs          dirFDs
	actors        actors
	writers       writers
	foresight     foresight
	handles       handles
	queue         *queue
	forget        *forgetter
	gate          *gate
	announcements *announcements
	views         *views

	// names is held shared by whoever changes a name or an inode, and alone by
	// the rename of a directory: it makes the path in a record the path that is
	// acted on. Taken after slot locks, before node.mu.
	names sync.RWMutex

	dir         string
	mountID     uint64
	base        int // the directory beneath, maybe in a mount of our own: openBacking
	passthrough bool
	alone       bool          // nobody but root comes in
	done        chan struct{} // closed when nothing is served any more
}

// dirFDsMax bounds the directories kept open.
const dirFDsMax = 1024

// New mounts over o.Dir, the directory that o.Base is open on, and serves it
// until it is unmounted. It sets the process's umask to 0: modes come from the
// callers, whose umask the kernel has applied already. Its errors say what is
// missing: [ErrNoDevice], [ErrNoHelper], [ErrRefused], [ErrNotBase].
func New(o Options) (*Mount, error) {
	o.StateDir = cmp.Or(o.StateDir, stateDirName)
	o.Source = cmp.Or(o.Source, fsName)
	m := &Mount{
		log:       o.Log,
		journal:   o.Journal,
		stateDir:  o.StateDir,
		paths:     make(map[string]string),
		dir:       o.Dir,
		actors:    actors{now: time.Now},
		foresight: newForesight(),
		dirs:      dirFDs{max: dirFDsMax},
		done:      make(chan struct{}),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	for _, r := range o.Resources {
		m.paths[r.Name] = r.Path
		m.trees = append(m.trees, r.Tree)
	}
	var err error
	if m.id, err = newIdentity(); err != nil {
		return nil, err
	}
	m.alone = m.id.isAlone(o)
	if m.base, err = openBacking(o); err != nil {
		return nil, err
	}
	if err := m.start(o); err != nil {
		unix.Close(m.base)
		return nil, err
	}
	return m, nil
}

// start builds the root, mounts, and serves.
func (m *Mount) start(o Options) error {
	var st unix.Statx_t
	if err := statFD(m.base, &st); err != nil {
		return fmt.Errorf("stat the base: %w", err)
	}
	m.newRoot(o, &st)
	opts := m.fuseOptions(o, &st)
	m.gate = &gate{RawFileSystem: rawFS{fs.NewNodeFS(m.root, opts)}}
	dev, err := m.id.attach(o.Base, o)
	if err != nil {
		return err
	}
	unix.Umask(0)
	server, err := fuse.NewServer(m.gate, fmt.Sprintf("/dev/fd/%d", dev), &opts.MountOptions)
	if err != nil {
		_ = m.id.detach(o.Dir, true)
		return fmt.Errorf("start serving %s: %w", o.Dir, err)
	}
	m.mountID = mountIDOf(o.Dir)
	m.probe(server, o, &st)
	m.handles.max.Store(cmp.Or(o.maxHandles, maxHandles(m.passthrough)))
	m.announcements = newAnnouncements(m, o.Announcer)
	m.queue = newQueue(m.log, m.announcements.add, m.covered)
	m.forget = newForgetter(&m.table, cmp.Or(o.maxKnown, maxKnown), m.covered)
	if m.views.history != nil {
		m.views.history.start()
	}
	for _, t := range m.trees {
		t.SetNotifier(notifier{m})
	}
	go m.serve(server)
	return nil
}

func (m *Mount) newRoot(o Options, st *unix.Statx_t) {
	vol := m.vols.add(devOf(st), false)
	places := newPlaces(o)
	m.root = &DirNode{place: places, own: places.zone}
	m.root.fixed = &dirFD{dir: m.root, fd: m.base, refs: 1}
	m.root.init(m, vol, keyOf(st))
	m.table.findOrAdd(vol, keyOf(st), func() *node { return &m.root.node })
	m.views = &views{
		m: m, tags: o.Tags, control: o.Control,
		uid: st.Uid, gid: st.Gid, born: uint64(st.Ctime.Sec),
	}
	if o.History != nil {
		m.views.history = newHistoryView(m.views, o)
	}
}

// killPrivV2 makes the kernel leave the clearing of setuid and capabilities to
// us, instead of asking for security.capability at every write.
const killPrivV2 = 1 << 28

func (m *Mount) fuseOptions(o Options, st *unix.Statx_t) *fs.Options {
	never := forever
	return &fs.Options{
		MountOptions: fuse.MountOptions{
			AllowOther:           o.AllowOther,
			FsName:               o.Source,
			Name:                 fsName,
			MaxWrite:             maxWrite,
			MaxBackground:        128,
			EnableSymlinkCaching: true,
			EnableAcl:            !m.alone, // it has the kernel check permissions
			ExtraCapabilities:    killPrivV2 | fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_DONT_MASK | fuse.CAP_SETXATTR_EXT | fuse.CAP_ASYNC_DIO,
			Debug:                o.Debug,
			Logger:               log.New(logWriter{m.log}, "", 0),
		},
		NegativeTimeout: &never,
		NullPermissions: true,
		RootStableAttr:  &fs.StableAttr{Ino: st.Ino, Gen: keyOf(st).Gen},
		Logger:          log.New(logWriter{m.log}, "", 0),
	}
}

// logWriter passes on what go-fuse says.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	w.log.Debug("fuse: " + strings.TrimSpace(string(b)))
	return len(b), nil
}

// probe decides on the data path of every volume that is known, once: an inode
// must not change it.
func (m *Mount) probe(s *fuse.Server, o Options, base *unix.Statx_t) {
	if o.Passthrough == "off" {
		return
	}
	m.passthrough = probePassthrough(s, m.base)
	m.root.vol.passthrough = m.passthrough
	for _, r := range o.Resources {
		var st unix.Statx_t
		if r.External && statFD(r.Tree.RootFD(), &st) == nil && devOf(&st) != devOf(base) {
			m.vols.add(devOf(&st), probePassthrough(s, r.Tree.RootFD()))
		}
	}
}

// serve answers requests until the mount is gone, then lets go of everything.
func (m *Mount) serve(s *fuse.Server) {
	s.Serve()
	for _, t := range m.trees {
		t.SetNotifier(nil)
	}
	m.forget.close()
	if m.views.history != nil {
		m.views.history.close()
	}
	m.queue.close()
	m.announcements.close()
	for h := range m.writers.take() {
		h.close()
	}
	m.dirs.close()
	unix.Close(m.base)
	close(m.done)
}

// Passthrough reports whether the kernel reads and writes the base's files by
// itself.
func (m *Mount) Passthrough() bool { return m.passthrough }

// Notifier is told of changes beneath the mount. New has set it on the
// resources' trees already.
func (m *Mount) Notifier() tree.Notifier { return notifier{m} }

// Drain returns once the kernel has forgotten all that changes beneath the
// mount before the call made stale.
func (m *Mount) Drain() { m.queue.drain() }

// Wait returns once nothing is served any more: the mount is gone, and nobody
// has a file of it open. All handles that could write have had their
// journal.KindClose by then.
func (m *Mount) Wait() { <-m.done }

// Attached tells whether the mount is at its place: it has not been taken away,
// detached or covered by another. It asks the kernel alone.
func (m *Mount) Attached() bool { return mountIDOf(m.dir) == m.mountID }

// detached tells whether the mount is nowhere any more, not even covered.
func (m *Mount) detached() bool {
	mounts, err := readMounts()
	return err == nil && !slices.ContainsFunc(mounts, func(i mountInfo) bool { return i.id == m.mountID })
}

// Unmount ends the mount and waits until nothing is served any more. In use it
// fails with a [*BusyError], and goes on serving. With lazy it takes the mount
// out of the tree at once and does not wait: who has files open keeps them, and
// Wait tells when they are done.
func (m *Mount) Unmount(lazy bool) error {
	select {
	case <-m.done:
		return nil
	default:
	}
	if !m.Attached() {
		if lazy && m.detached() { // by others: who has files open keeps them
			return nil
		}
		select {
		case <-m.done: // somebody else has just unmounted it
			return nil
		case <-time.After(passingTime):
		}
		if m.detached() {
			return fmt.Errorf("unmount %s: it is detached, and files in it are open still", m.dir)
		}
		return fmt.Errorf("unmount %s: something else is mounted there by now", m.dir)
	}
	if err := m.detach(lazy); err != nil || lazy {
		return err
	}
	select {
	case <-m.done:
		return nil
	case <-time.After(copiesTime):
		return fmt.Errorf("unmount %s: it is detached here, but another mount namespace (a container, unshare) has it still", m.dir)
	}
}

// copiesTime is how long the end of a mount that nobody here uses may take. One that
// takes longer has copies in other mount namespaces, which are served to their end.
const copiesTime = 10 * time.Second

// detach takes the mount out of the tree, with nothing of ours in it.
func (m *Mount) detach(lazy bool) error {
	defer m.announcements.pause()()
	err := m.id.detach(m.dir, lazy)
	for start := time.Now(); err == syscall.EBUSY; err = m.id.detach(m.dir, lazy) {
		if busy := newBusyError(m.dir, m.mountID); !busy.passes() || time.Since(start) > passingTime {
			return busy
		}
		time.Sleep(passingPoll)
	}
	if err != nil && m.Attached() { // else somebody else was faster
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	return nil
}
