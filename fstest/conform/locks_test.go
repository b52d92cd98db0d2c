package conform

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func lockChecks() []check {
	return []check{
		{name: "flock", do: flocks},
		{name: "flock waits", do: flockWaits},
		{name: "POSIX locks", do: posixLocks},
		{name: "POSIX locks go with any descriptor", do: posixLocksGo},
		{name: "POSIX locks that deadlock", do: deadlock},
		{name: "OFD locks", do: ofdLocks},
		{name: "locks stay with the file", do: locksStay},
		{name: "leases", do: leases},
	}
}

// flock(2).
func flocks(s *scene) {
	s.files("f")
	s.mkdir("d")
	a, b := s.open("f", unix.O_RDWR), s.open("f", unix.O_RDONLY)
	dup, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, 0)
	s.ok(err)
	s.fails("shared", unix.Flock(a, unix.LOCK_SH), done)
	s.fails("shared by another", unix.Flock(b, unix.LOCK_SH|unix.LOCK_NB), done)
	s.fails("exclusive beside it", unix.Flock(a, unix.LOCK_EX|unix.LOCK_NB), unix.EAGAIN)
	s.fails("unlock", unix.Flock(b, unix.LOCK_UN), done)
	s.fails("exclusive", unix.Flock(dup, unix.LOCK_EX|unix.LOCK_NB), done)
	s.fails("shared beside it", unix.Flock(b, unix.LOCK_SH|unix.LOCK_NB), unix.EAGAIN)
	s.fails("a POSIX lock is another matter", s.lock(b, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0), done)
	s.close(a)
	s.fails("a duplicate holds it", unix.Flock(b, unix.LOCK_SH|unix.LOCK_NB), unix.EAGAIN)
	s.close(dup)
	s.fails("closed", unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB), done) // also of a file open to read
	s.fails("a directory", unix.Flock(s.open("d", unix.O_RDONLY), unix.LOCK_EX|unix.LOCK_NB), done)
	s.fails("a place", unix.Flock(s.open("f", unix.O_PATH), unix.LOCK_SH), unix.EBADF)
	s.fails("unknown", unix.Flock(b, 77), unix.EINVAL)
}

// Who waits gets the lock when it is free.
func flockWaits(s *scene) {
	s.files("f")
	a, b := s.open("f", unix.O_RDWR), s.open("f", unix.O_RDWR)
	s.ok(unix.Flock(a, unix.LOCK_EX))
	got := make(chan error)
	go func() { got <- unix.Flock(b, unix.LOCK_EX) }()
	s.tick()
	s.ok(unix.Flock(a, unix.LOCK_UN))
	s.fails("after the other", <-got, done)
	s.fails("and the first has it no more", unix.Flock(a, unix.LOCK_SH|unix.LOCK_NB), unix.EAGAIN)
}

// lock is fcntl(2) with a lock from off, size bytes (0: to the end).
func (s *scene) lock(fd, command int, kind int16, off, size int64) error {
	return unix.FcntlFlock(uintptr(fd), command, &unix.Flock_t{Type: kind, Whence: unix.SEEK_SET, Start: off, Len: size})
}

// elsewhere runs act as another process does, as far as descriptors and POSIX locks
// go: a lock belongs to a table of descriptors, and this one has its own. What it
// opens it opens by itself.
func (s *scene) elsewhere(act func(fd int), name string) {
	s.apart(func() {
		s.ok(unix.Unshare(unix.CLONE_FILES))
		fd, err := unix.Open(s.p(name), unix.O_RDWR|unix.O_CLOEXEC, 0)
		s.ok(err)
		act(fd)
		s.ok(unix.Close(fd))
	})
}

// fcntl(2), advisory record locking: by process and range.
func posixLocks(s *scene) {
	s.write("f", "0123456789")
	fd, r, w := s.open("f", unix.O_RDWR), s.open("f", unix.O_RDONLY), s.open("f", unix.O_WRONLY)
	s.fails("write lock", s.lock(fd, unix.F_SETLK, unix.F_WRLCK, 2, 4), done)
	s.fails("again by the same process", s.lock(fd, unix.F_SETLK, unix.F_WRLCK, 3, 10), done)
	s.fails("read lock behind it", s.lock(fd, unix.F_SETLK, unix.F_RDLCK, 20, 0), done)
	s.elsewhere(func(other int) {
		s.fails("before it", s.lock(other, unix.F_SETLK, unix.F_WRLCK, 0, 2), done)
		s.fails("over it", s.lock(other, unix.F_SETLK, unix.F_WRLCK, 0, 3), unix.EAGAIN)
		s.fails("read over it", s.lock(other, unix.F_SETLK, unix.F_RDLCK, 12, 1), unix.EAGAIN)
		s.fails("read a read lock", s.lock(other, unix.F_SETLK, unix.F_RDLCK, 1000, 1), done)
		s.fails("write a read lock", s.lock(other, unix.F_SETLK, unix.F_WRLCK, 1000, 1), unix.EAGAIN)
		holder := unix.Flock_t{Type: unix.F_WRLCK, Start: 5, Len: 100}
		s.ok(unix.FcntlFlock(uintptr(other), unix.F_GETLK, &holder))
		s.is("the holder", []int64{int64(holder.Type), holder.Start, holder.Len}, []int64{unix.F_WRLCK, 2, 11})
		s.is("its process", int(holder.Pid) == os.Getpid(), true)
	}, "f")
	s.fails("unlock some", s.lock(fd, unix.F_SETLK, unix.F_UNLCK, 4, 2), done)
	s.elsewhere(func(other int) {
		s.fails("what was unlocked", s.lock(other, unix.F_SETLK, unix.F_WRLCK, 4, 2), done)
		s.fails("what was not", s.lock(other, unix.F_SETLK, unix.F_WRLCK, 6, 1), unix.EAGAIN)
	}, "f")
	s.fails("write lock to read", s.lock(r, unix.F_SETLK, unix.F_WRLCK, 0, 1), unix.EBADF)
	s.fails("read lock to write", s.lock(w, unix.F_SETLK, unix.F_RDLCK, 0, 1), unix.EBADF)
	s.fails("before the start", s.lock(fd, unix.F_SETLK, unix.F_RDLCK, -1, 1), unix.EINVAL)
	end := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_END, Start: -1, Len: 5}
	s.fails("from the end", unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &end), done)
}

// close(2) of any descriptor of the file gives up all of the process's locks on it.
func posixLocksGo(s *scene) {
	s.files("f")
	fd := s.open("f", unix.O_RDWR)
	free := func(what string, want unix.Errno) {
		s.elsewhere(func(other int) { s.fails(what, s.lock(other, unix.F_SETLK, unix.F_WRLCK, 0, 0), want) }, "f")
	}
	s.ok(s.lock(fd, unix.F_SETLK, unix.F_WRLCK, 0, 0))
	free("held", unix.EAGAIN)
	s.ok(s.opens("f", unix.O_RDONLY))
	free("after another was closed", done)
	s.ok(s.lock(fd, unix.F_SETLK, unix.F_WRLCK, 0, 0))
	s.ok(s.opens("f", unix.O_PATH))
	free("a place does not count", unix.EAGAIN)
}

// fcntl(2), EDEADLK: one of two who wait for each other is told.
func deadlock(s *scene) {
	s.write("f", "ab")
	var first, second = make(chan struct{}), make(chan struct{})
	results := make(chan string, 2)
	side := func(mine, theirs int64, ready, other chan struct{}) {
		s.elsewhere(func(fd int) {
			s.ok(s.lock(fd, unix.F_SETLK, unix.F_WRLCK, mine, 1))
			close(ready)
			<-other
			results <- errno(s.lock(fd, unix.F_SETLKW, unix.F_WRLCK, theirs, 1))
		}, "f")
	}
	go side(0, 1, first, second)
	side(1, 0, second, first)
	got := []string{<-results, <-results}
	slices.Sort(got)
	s.is("one is told, the other gets it", strings.Join(got, " "), "EDEADLK done")
}

// fcntl(2), open file description locks.
func ofdLocks(s *scene) {
	s.write("f", "0123456789")
	a, b := s.open("f", unix.O_RDWR), s.open("f", unix.O_RDWR)
	s.fails("write lock", s.lock(a, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 5), done)
	s.fails("beside it", s.lock(b, unix.F_OFD_SETLK, unix.F_WRLCK, 5, 5), done)
	s.fails("over it", s.lock(b, unix.F_OFD_SETLK, unix.F_RDLCK, 4, 1), unix.EAGAIN)
	s.fails("a POSIX lock over it", s.lock(b, unix.F_SETLK, unix.F_RDLCK, 4, 1), unix.EAGAIN)
	holder := unix.Flock_t{Type: unix.F_RDLCK, Start: 0, Len: 10}
	s.ok(unix.FcntlFlock(uintptr(b), unix.F_OFD_GETLK, &holder))
	s.is("the holder", []int64{int64(holder.Type), holder.Start, holder.Len, int64(holder.Pid)}, []int64{unix.F_WRLCK, 0, 5, -1})
	s.ok(s.opens("f", unix.O_RDWR))
	s.fails("closing another changes nothing", s.lock(b, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 1), unix.EAGAIN)
	got := make(chan error)
	go func() { got <- s.lock(b, unix.F_OFD_SETLKW, unix.F_WRLCK, 0, 5) }()
	s.tick()
	s.close(a)
	s.fails("who waits gets it", <-got, done)
}

// A lock is the file's, by whatever name, and without one.
func locksStay(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.ok(s.link("f", "g"))
	a := s.open("f", unix.O_RDWR)
	s.ok(unix.Flock(a, unix.LOCK_EX))
	s.ok(s.lock(a, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0))
	taken := func(what, name string) {
		fd := s.open(name, unix.O_RDWR)
		s.fails(what, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB), unix.EAGAIN)
		s.fails(what, s.lock(fd, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0), unix.EAGAIN)
	}
	taken("by another name", "g")
	s.ok(s.rename("g", "d/h"))
	taken("after a rename", "d/h")
	s.ok(unix.Unlink(s.p("f")))
	taken("after an unlink", "d/h")
	s.files("f")
	s.fails("a new file is free", unix.Flock(s.open("f", unix.O_RDWR), unix.LOCK_EX|unix.LOCK_NB), done)
}

// fcntl(2), leases: refused beside what they exclude.
func leases(s *scene) {
	s.files("f")
	r := s.open("f", unix.O_RDONLY)
	lease := func(fd, kind int) error { _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, kind); return err }
	s.fails("read", lease(r, unix.F_RDLCK), done)
	held, err := unix.FcntlInt(uintptr(r), unix.F_GETLEASE, 0)
	s.ok(err)
	s.is("held", held, unix.F_RDLCK)
	s.fails("who opens to write must wait", s.opens("f", unix.O_WRONLY|unix.O_NONBLOCK), unix.EAGAIN)
	s.fails("who reads need not", s.opens("f", unix.O_RDONLY|unix.O_NONBLOCK), done)
	s.fails("give it up", lease(r, unix.F_UNLCK), done)
	s.fails("then they need not", s.opens("f", unix.O_WRONLY|unix.O_NONBLOCK), done)
	w := s.open("f", unix.O_WRONLY)
	s.fails("read beside a writer", lease(r, unix.F_RDLCK), unix.EAGAIN)
	s.fails("write beside a reader", lease(w, unix.F_WRLCK), unix.EAGAIN)
	s.close(r)
	s.fails("write", lease(w, unix.F_WRLCK), done)
	s.fails("give it up", lease(w, unix.F_UNLCK), done)
}
