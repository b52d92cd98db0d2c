package backend

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// resource is one mirrored directory: its backing tree, store, index and sync
// state. All that changes any of them runs on one goroutine, the worker (run);
// the rest of the engine asks it through do. Fields above the mutex are set
// before the worker starts, or belong to it alone, or are safe for all by
// themselves (local, tagged, problems, growth, the atomics, the channels).
type resource struct {
	name     string
	conf     config.Resource
	rootPath string    // where the root was when it was opened, for one elsewhere
	state    string    // where the state directory is, for messages
	skipped  []string  // paths of resources nested in this one
	aside    string    // where Open puts what it replaces; "": it is not to repair
	opened   []Finding // what Open has mended
	wentBack bool      // to a head that is older than what the disk may have
	tree     *tree.Tree
	store    *store.Store
	past     *store.Reader // for what looks into history
	index    *index.Index
	journal  *journal.Journal
	ignore   *config.Ignore
	random   io.Reader
	now      func() time.Time
	log      *slog.Logger

	nodeName string
	key      ssh.Signer
	writer   object.Writer

	next       *nextHead // nil: the head is what the index stands for
	replica    *replica.Replica
	send       func(replica.Action) // hands an action to the sessions; must not block
	drainMount func()               // waits until the mount shows what was applied; nil: no mount
	hangUp     func(error)          // ends the sessions that share the resource; likewise
	mended     func(node string)    // forgets why a node was not up to date; likewise
	generation *atomic.Uint64       // of the engine: counts what views may show anew
	journaled  bool                 // every change comes through a mount: no scan is needed
	unwatch    func()               // ends the watch of what does not; startScan's
	clean      bool                 // the engine before ended as it should
	wantScan   bool
	scanning   bool
	behind     bool // the disk is not at the head
	asides     bool // something that was moved aside is not as it was left
	stuck      bool // retryLater
	catchUp    bool // all that is marked is due: the engine has started, or a scan has ended
	atOnce     int  // names that one commit takes at most
	stayed     int  // names in new directories that the last commit could not take
	finds      finds
	looks      looks
	synced     syncMark
	todo       []replica.Action   // not done yet
	nodes      map[string]*link   // in use, by link.node
	leftOut    map[string]leftOut // large files that do not fit into the store
	strayScan  time.Time          // when marks that could not be settled last led to a scan
	scanAgain  time.Time          // when to scan again; zero: what the last scan and the watch have told is all
	scannedAll atomic.Bool        // a scan was complete
	missing    map[string]bool    // by the last scan, and held back

	acceptDeletes bool   // that a scan held back
	message       string // of the next commit of all that is marked; "": what happened
	background    sync.WaitGroup
	tidying       atomic.Bool

	calls chan func()
	retry chan struct{}

	ready          chan struct{} // closed once the scan at start, if any, is committed
	readyOnce      sync.Once
	held           chan struct{} // closed once holdUp is set: why ready is late
	holdUp         error
	holdUpOnce     sync.Once
	scannedAtStart atomic.Int64 // names looked at; -1 before that is known

	timeline timeline
	local    *pathSet    // FIFOs, sockets, devices
	tagged   *tags.Index // by the files' FileIDs
	problems problems
	growth   growth

	mu        sync.Mutex // guards what follows; innermost
	head      object.CommitID
	headC     *object.Commit
	waiting   map[string]string // names whose remote version could not be applied yet, and why
	question  string            // that a scan asks
	unwatched string            // why changes beside the mount are only found by scans; "": they are watched
	watchers  map[chan struct{}]struct{}
	peers     map[string]peerState // by link.node
}

// do runs f on the worker and waits for it.
func (r *resource) do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case r.calls <- func() { done <- f() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return r.damaged(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// headNow returns the head and its commit, nil before the first one.
func (r *resource) headNow() (object.CommitID, *object.Commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head, r.headC
}

func (r *resource) headTree() (object.TreeID, error) {
	_, c := r.headNow()
	if c == nil {
		return object.TreeID{}, nil
	}
	return c.Tree, nil
}

// headMoved publishes a new head.
func (r *resource) headMoved(id object.CommitID, c *object.Commit) {
	r.mu.Lock()
	r.head, r.headC = id, c
	r.mu.Unlock()
	r.generation.Add(1)
	r.changed()
}

// changed wakes all who wait for something to happen to the resource.
func (r *resource) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// watch returns a channel that gets a value after each change, and a function
// that ends that.
func (r *resource) watch() (<-chan struct{}, func()) {
	w := make(chan struct{}, 1)
	r.addWatcher(w)
	return w, func() { r.removeWatcher(w) }
}

func (r *resource) addWatcher(w chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers[w] = struct{}{}
}

func (r *resource) removeWatcher(w chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watchers, w)
}

// retryLater has the worker look again at what nothing is going to change in a
// moment, after a pause that grows. For the worker alone.
func (r *resource) retryLater() { r.stuck = true }

// retrySoon has the worker look again at what could not be done now.
func (r *resource) retrySoon() {
	select {
	case r.retry <- struct{}{}:
	default:
	}
}

// skip tells whether a path is not mirrored: reserved, ignored, or another
// resource's.
func (r *resource) skip(path string, dir bool) bool {
	if reserved(path) || r.ignore.Match(path, dir) {
		return true
	}
	for _, s := range r.skipped {
		if path == s || len(path) > len(s) && path[:len(s)] == s && path[len(s)] == '/' {
			return true
		}
	}
	return false
}

// newCommit makes a commit of a tree on top of the head, as this writer.
func (r *resource) newCommit(batch *store.Batch, tree object.TreeID, subject string) (*object.Commit, object.CommitID, error) {
	head, parent := r.headNow()
	c := &object.Commit{Tree: tree, Message: object.CleanMessage(subject), Writer: r.writer, Seq: 1, Gen: 1}
	if parent != nil {
		c.Parents = []object.CommitID{head}
		c.Cover = parent.FullCover(head)
		c.Gen = parent.Gen + 1
	}
	if tip, ok := c.Cover.Get(r.writer); ok {
		c.Seq = tip.Seq + 1
	}
	id, err := r.putCommit(batch, c)
	return c, id, err
}

// putCommit writes a commit with this node as its author, signed.
func (r *resource) putCommit(batch *store.Batch, c *object.Commit) (object.CommitID, error) {
	c.Author = object.CleanName(r.nodeName)
	c.Email = object.Fingerprint(r.key.PublicKey()) + "@smfs"
	c.Time = r.now().Unix()
	if err := object.Sign(c, r.key); err != nil {
		return object.CommitID{}, fmt.Errorf("sign commit: %w", err)
	}
	return batch.PutCommit(c)
}

// nextHead is a commit that the index stands for and that is durable, but not
// yet the head.
type nextHead struct {
	id     object.CommitID
	commit *object.Commit
}

// publishNext makes the commit that waits for it the head.
func (r *resource) publishNext() error {
	if r.next == nil {
		return nil
	}
	head, _ := r.headNow()
	if err := r.store.UpdateRefs(store.RefUpdate{Name: headRef, Old: head, New: r.next.id}); err != nil {
		return fmt.Errorf("move the head of %s: %w", r.name, err)
	}
	n := r.next
	r.next = nil
	r.headMoved(n.id, n.commit)
	r.act(r.replica.Committed(n.id, n.commit.FullCover(n.id)))
	return nil
}

// headRef is the ref of the head, as plain git knows it.
const headRef = "refs/heads/main"

// commitEdits makes a commit that did not start on disk (tags, a restore), and
// brings the disk along. Where nothing changes there is none.
func (r *resource) commitEdits(ctx context.Context, e *edits, message string) (object.CommitID, error) {
	if err := r.publishNext(); err != nil {
		return object.CommitID{}, err
	}
	old, err := r.headTree()
	if err != nil {
		return object.CommitID{}, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return object.CommitID{}, err
	}
	defer batch.Discard()
	tree, err := e.build(batch, old)
	if err != nil {
		return object.CommitID{}, err
	}
	if tree == old {
		head, _ := r.headNow()
		return head, nil
	}
	return r.commitTree(ctx, batch, tree, message)
}

// commitTree makes a commit of a tree on top of the head, durable with all else in
// the batch, and brings the disk along. publishNext comes before.
func (r *resource) commitTree(ctx context.Context, batch *store.Batch, tree object.TreeID, message string) (object.CommitID, error) {
	head, _ := r.headNow()
	c, id, err := r.newCommit(batch, tree, message)
	if err == nil {
		err = batch.Commit(store.RefUpdate{Name: headRef, Old: head, New: id})
	}
	if err != nil {
		return object.CommitID{}, err
	}
	r.headMoved(id, c)
	err = r.apply(ctx)
	r.act(r.replica.Committed(id, c.FullCover(id)))
	return id, err
}
