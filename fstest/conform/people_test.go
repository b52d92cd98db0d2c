package conform

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// apart runs act in a thread with a working directory and a umask of its own.
func (s *scene) apart(act func()) {
	ended := make(chan any)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		defer func() { ended <- recover() }()
		s.ok(unix.Unshare(unix.CLONE_FS))
		act()
	}()
	if r := <-ended; r != nil {
		panic(r)
	}
}

func init() {
	runtime.LockOSThread() // the process's first thread stays as it is: it is never one apart
}

// umask runs act under a umask.
func (s *scene) umask(mask int, act func()) {
	s.apart(func() {
		unix.Umask(mask)
		act()
	})
}

// person is somebody else than root.
type person struct {
	uid    int
	groups []uint32 // beside the one that has the uid's number
}

const (
	aliceID = 61001
	bobID   = 61002
	staff   = 61100
)

var (
	alice = person{aliceID, []uint32{staff}}
	bob   = person{bobID, nil}
)

// as runs act as another user. os/user's and syscall's ways would change the whole
// process.
func (s *scene) as(who person, act func()) {
	s.apart(func() {
		s.ok(become(who))
		act()
	})
}
