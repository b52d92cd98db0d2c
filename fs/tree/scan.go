package tree

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// keepOpen is how many directories of the path being scanned stay open.
const keepOpen = 64

// rereads is how often a directory that changes while it is read is read anew.
const rereads = 3

// Scan calls fn for every entry below the root, a directory before its
// entries, names sorted bytewise within each directory, without what
// Options.Skip leaves out and without temps. An error of fn, or ctx's end,
// stops the scan and is returned.
//
// complete is false if anything could not be looked at (Options.Problem hears
// which path and why: nothing is known of it and below) or changed so that an
// entry may have been missed; then absence from the scan means nothing there.
// An entry moved by somebody else from where the scan had not been to where it
// had is missed by any scan: look again before taking absence for deletion.
func (t *Tree) Scan(ctx context.Context, fn func(path string, info Info) error) (complete bool, err error) {
	s := &scan{t: t, ctx: ctx, fn: fn, complete: true, stale: make(map[string]bool)}
	err = s.run()
	for len(s.stack) > 0 {
		s.pop()
	}
	if err == nil {
		err = t.rootGone()
	}
	t.foundTemps(s.stale)
	return s.complete && err == nil, err
}

type scan struct {
	t        *Tree
	ctx      context.Context
	fn       func(string, Info) error
	complete bool
	stack    []*level
	stale    map[string]bool
}

// level is one directory of the path being scanned.
type level struct {
	path  string
	key   journal.FileKey
	fd    int // -1: closed to save fds, see reach
	names []Name
}

func (s *scan) run() error {
	if err := s.enter("", s.t.rootFD, "."); err != nil {
		return err
	}
	for len(s.stack) > 0 {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		l := s.stack[len(s.stack)-1]
		if len(l.names) == 0 {
			s.pop()
			continue
		}
		name := l.names[0].Name
		l.names = l.names[1:]
		if err := s.visit(l, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) visit(l *level, name string) error {
	path := join(l.path, name)
	if err := s.reach(l); err != nil {
		s.problem(l.path, err)
		l.names = nil
		return nil
	}
	info, err := s.t.statAt(l.fd, name)
	if err != nil {
		s.problem(path, err)
		return nil
	}
	if s.t.o.Skip != nil && s.t.o.Skip(path, info.IsDir()) {
		return nil
	}
	if err := s.fn(path, info); err != nil {
		return err
	}
	if info.IsDir() {
		return s.enter(path, l.fd, name)
	}
	return nil
}

// enter reads a directory and makes it the current one. Only a root that
// cannot be read is an error.
func (s *scan) enter(path string, dirfd int, name string) error {
	fd, err := toList(func(how int) (int, error) { return s.t.openBelow(dirfd, name, how) })
	if err == nil {
		var l *level
		if l, err = s.read(path, fd); err == nil {
			s.push(l)
			return nil
		}
		unix.Close(fd)
	}
	if path == "" {
		return s.t.fail("scan", path, err)
	}
	s.problem(path, err)
	return nil
}

// read lists an open directory, again if it changed meanwhile.
func (s *scan) read(path string, fd int) (*level, error) {
	for try := 0; ; try++ {
		before, err := StatFD(fd)
		if err != nil {
			return nil, err
		}
		if _, err := unix.Seek(fd, 0, 0); err != nil {
			return nil, err
		}
		names, temps, err := s.t.readNames(fd)
		if err != nil {
			return nil, err
		}
		after, err := StatFD(fd)
		if err != nil {
			return nil, err
		}
		if before.Mtime != after.Mtime {
			if try < rereads {
				continue
			}
			s.problem(path, fmt.Errorf("kept changing while it was read: %w", ErrChanged))
		}
		for _, n := range temps {
			s.stale[join(path, n.Name)] = true
		}
		return &level{path: path, key: after.Key, fd: fd, names: names}, nil
	}
}

func (s *scan) push(l *level) {
	s.stack = append(s.stack, l)
	if i := len(s.stack) - 1 - keepOpen; i >= 0 {
		s.shut(s.stack[i])
	}
}

func (s *scan) pop() {
	s.shut(s.stack[len(s.stack)-1])
	s.stack = s.stack[:len(s.stack)-1]
}

func (s *scan) shut(l *level) {
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}

// reach opens a directory again that was closed to save fds. If the path
// leads elsewhere now, the rest of it is unknown.
func (s *scan) reach(l *level) error {
	if l.fd >= 0 {
		return nil
	}
	fd, err := s.t.open(l.path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	info, err := StatFD(fd)
	if err == nil && info.Key != l.key {
		err = ErrChanged
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	l.fd = fd
	return nil
}

func (s *scan) problem(path string, err error) {
	s.complete = false
	if s.t.o.Problem != nil {
		s.t.o.Problem(path, s.t.fail("scan", path, err))
	}
}
