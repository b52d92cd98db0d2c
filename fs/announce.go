package fs

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel tells programs that watch (inotify, fanotify) of what is done in the
// mount, and of nothing that an apply does beneath it. So a process of ours, the
// announcer, does something there for each name that has changed; the gate sees to
// it that nothing comes of that.

const (
	// announcedMax bounds the names that wait; what comes after is not announced.
	announcedMax = 1 << 14
	// scanShare is how many times its own duration passes between two scans for
	// watches, and scanRest how much at least.
	scanShare = 50
	scanRest  = 500 * time.Millisecond
	// announcersMax is how many announcers may die over one announcement.
	announcersMax = 3
)

var (
	// errAnnouncer: there is no announcer, or it has died.
	errAnnouncer = errors.New("no announcer")
	// errUnproven: what the announcer sees at the mount point is not this mount.
	errUnproven = errors.New("the mount was not found at its place")
)

// announcements are what programs that watch are still to be told. One goroutine
// tells them; nobody waits for it.
type announcements struct {
	m       *Mount
	gate    *gate
	command func() *exec.Cmd
	log     *slog.Logger
	more    chan struct{} // something was added
	stop    chan struct{}
	stopped chan struct{}
	still   atomic.Bool // nothing is to be done in the mount now

	mu      sync.Mutex // guards the rest
	fresh   []awaited
	changes map[note]change // those of fresh and of doubtful
	child   *exec.Cmd       // the announcer, until it is waited for
	ended   bool

	// using is held while the announcer may be in the mount.
	using sync.Mutex

	// The rest is run's.
	orders   io.WriteCloser
	answers  *bufio.Reader
	doubtful []awaited // not watched as of the last scan, which was before
	watched  watched
	scanned  time.Time // when the last scan began
	due      time.Time // no scan before
	dev      uint64    // the mount's, as in mountinfo; 0: not known yet
}

// awaited is a name that has changed, and when.
type awaited struct {
	note
	at time.Time
}

// newAnnouncements starts to announce; without a command nothing is.
func newAnnouncements(m *Mount, command func() *exec.Cmd) *announcements {
	a := &announcements{
		m: m, gate: m.gate, command: command, log: m.log, changes: make(map[note]change),
		more: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if command == nil {
		a.ended = true
		close(a.stopped)
		return a
	}
	go a.run()
	return a
}

// add queues what has changed. Of several changes of a name the outcome counts.
func (a *announcements) add(n note, c change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	if earlier, ok := a.changes[n]; ok {
		a.changes[n] = earlier.then(c)
		return
	}
	if len(a.changes) >= announcedMax {
		return
	}
	a.changes[n] = c
	a.fresh = append(a.fresh, awaited{n, time.Now()})
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// run announces until the end. The announcer lives no longer than the thread that
// has started it.
func (a *announcements) run() {
	runtime.LockOSThread()
	defer close(a.stopped)
	defer a.dismiss()
	for a.await() {
		scanned := a.look()
		for _, n := range a.decide(scanned) {
			if err := a.announce(n); err != nil {
				a.log.Warn("programs that watch are told no more of changes from elsewhere", slog.Any("error", err))
				a.end()
				return
			}
		}
	}
}

// await waits until something was added, or there is something doubtful and the
// next scan is due. While nobody watches it waits for that scan in any case: a
// large apply is not to wake it for each name. It returns false at the end.
func (a *announcements) await() bool {
	var due <-chan time.Time
	if len(a.doubtful) > 0 {
		due = time.After(time.Until(a.due))
	}
	select {
	case <-a.more:
	case <-due:
	case <-a.stop:
		return false
	}
	if a.watched.any() {
		return !a.isEnded()
	}
	select {
	case <-time.After(time.Until(a.due)):
		return !a.isEnded()
	case <-a.stop:
		return false
	}
}

// look scans for watches, unless it did so a moment ago.
func (a *announcements) look() (scanned bool) {
	begin := time.Now()
	if begin.Before(a.due) {
		return false
	}
	if a.dev == 0 {
		a.dev = deviceOf(a.m.mountID)
	}
	a.watched, a.scanned = scanWatched(a.dev, a.m.mountID), begin
	end := time.Now()
	a.due = end.Add(max(scanRest, scanShare*end.Sub(begin)))
	if !a.watched.any() {
		a.dismiss()
	}
	return true
}

// announcement is a change that is to be announced.
type announcement struct {
	note
	change
}

// decide takes out what is to be announced, and drops what was not watched when
// it changed. What came after the last scan is doubtful: somebody may have begun
// to watch in between.
func (a *announcements) decide(scanned bool) (out []announcement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	look := a.fresh
	a.fresh = nil
	if scanned {
		look = append(a.doubtful, look...)
		a.doubtful = nil
	}
	for _, w := range look {
		switch {
		case a.watched.has(a.changes[w.note].inodes(w.note)...):
			out = append(out, announcement{w.note, a.changes[w.note]})
			delete(a.changes, w.note)
		case w.at.Before(a.scanned):
			delete(a.changes, w.note)
		default:
			a.doubtful = append(a.doubtful, w)
		}
	}
	return out
}

// announce tells of one change, if it is still so. An error ends all.
func (a *announcements) announce(n announcement) error {
	for _, s := range n.steps() {
		path, ok := s.dir.inMount()
		if !ok {
			continue
		}
		err := a.tell(s.raising, order{s.verb, s.mode, path, s.name})
		if errors.As(err, new(refused)) {
			a.log.Debug("a change was not announced", slog.String("name", s.name), slog.Any("error", err))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tell has the announcer do something; one that dies meanwhile has a successor.
func (a *announcements) tell(r raising, o order) error {
	a.using.Lock()
	defer a.using.Unlock()
	for deaths := 0; ; {
		if a.still.Load() || a.isEnded() {
			return refused(unix.ECANCELED)
		}
		err := a.summon()
		if err == nil {
			err = a.order(r, o)
		}
		if !errors.Is(err, errAnnouncer) {
			return err
		}
		a.dismiss()
		if deaths++; deaths == announcersMax {
			return err
		}
	}
}

// order sends a line and waits for the answer.
func (a *announcements) order(r raising, o order) error {
	a.gate.begin(r)
	defer a.gate.end()
	if _, err := io.WriteString(a.orders, encodeOrder(o)); err != nil {
		return fmt.Errorf("%w: %w", errAnnouncer, err)
	}
	line, err := a.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%w: %w", errAnnouncer, err)
	}
	return answered(line)
}

// summon starts the announcer, unless there is one, and has it prove that what it
// sees at the mount point is this mount: what it looks for there must be asked of
// this process. From then on it goes by the id of the mount that it has proven.
func (a *announcements) summon() error {
	if a.orders != nil {
		return nil
	}
	if err := a.start(); err != nil {
		return fmt.Errorf("%w: %w", errAnnouncer, err)
	}
	name := rand.Text()
	err := a.order(raising{verb: verbProve, name: name}, order{verb: verbProve, dir: ".", name: name})
	if err == nil && !a.gate.isProven() {
		err = errUnproven
	}
	if errors.As(err, new(refused)) {
		return fmt.Errorf("%w: %v", errUnproven, err)
	}
	return err
}

func (a *announcements) start() error {
	cmd := a.command()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		orders.Close()
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		orders.Close()
		answers.Close()
		return unix.ECANCELED
	}
	if err := cmd.Start(); err != nil { // it closes the pipes
		return fmt.Errorf("start the announcer: %w", err)
	}
	a.child, a.orders, a.answers = cmd, orders, bufio.NewReader(answers)
	a.gate.announcer.Store(uint32(cmd.Process.Pid))
	return nil
}

// dismiss ends the announcer. Its number stays known until nothing of it runs any
// more, and is forgotten before another process can have it.
func (a *announcements) dismiss() {
	if a.orders == nil {
		return
	}
	a.kill()
	awaitDeath(a.child.Process.Pid)
	a.gate.announcer.Store(0)
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.child.Wait() // it was killed
	a.child, a.orders, a.answers = nil, nil, nil
}

// awaitDeath waits until a child has ended, and leaves it to be waited for.
func awaitDeath(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// kill makes an order that is under way fail.
func (a *announcements) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child != nil {
		_ = a.child.Process.Kill() // it may be dead
	}
}

// pause keeps the announcer out of the mount until resume is called.
func (a *announcements) pause() (resume func()) {
	a.still.Store(true)
	if !a.using.TryLock() {
		a.kill()
		a.using.Lock()
	}
	return func() {
		a.still.Store(false)
		a.using.Unlock()
	}
}

func (a *announcements) isEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// end makes all further changes be dropped.
func (a *announcements) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.ended, a.fresh, a.changes = true, nil, nil
		close(a.stop)
	}
}

// close ends run. One whose announcer hangs outside the mount is left behind; it
// is killed with the daemon.
func (a *announcements) close() {
	a.end()
	a.kill()
	select {
	case <-a.stopped:
	case <-time.After(passingTime):
	}
}
