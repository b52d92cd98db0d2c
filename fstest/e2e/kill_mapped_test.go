package e2e

import (
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// mapped overwrites a part of a file by a shared mapping, at times after its
// descriptor was closed. Either msync promises it, or it is told that all went
// well by the daemon being alive when the mapping is gone.
func (w *writer) mapped() error {
	p := w.existing(unix.S_IFREG)
	if p.node == nil || len(p.node.data) == 0 {
		return nil
	}
	f, err := w.open(p)
	if err != nil {
		return err
	}
	var m []byte
	err = w.step("map "+p.path, func() (err error) {
		m, err = mapShared(int(f.Fd()), len(p.node.data))
		return err
	}, func() {})
	if err != nil {
		return w.finish(f, err)
	}
	early, sync := w.random.IntN(2) == 0, w.random.IntN(2) == 0
	if early {
		err = w.finish(f, nil)
	}
	off := w.random.IntN(len(m))
	b := w.content()
	b = b[:min(len(b), len(m)-off)]
	d := &doubt{
		what: fmt.Sprintf("store %d bytes at %d of %s (closed before %v, msync %v)", len(b), off, p.path, early, sync),
		node: p.node, off: off, data: b, pages: true,
		apply: func() { p.node.data = written(p.node.data, off, b) },
	}
	if err == nil {
		err = w.try(d, func() error {
			err := store(m, off, b)
			if err == nil && sync {
				err = unix.Msync(m, unix.MS_SYNC)
			}
			if e := unix.Munmap(m); err == nil {
				err = e
			}
			m = nil
			if err == nil && !sync && w.killed.Load() {
				err = errStopped // nobody has promised anything
			}
			return err
		})
	}
	if m != nil {
		unix.Munmap(m)
	}
	if early {
		return err
	}
	return w.finish(f, err)
}

func mapShared(fd, size int) ([]byte, error) {
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// store copies into a mapping. Pages that a dead daemon does not give are an error,
// not the end of the process.
func store(m []byte, off int, b []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: %v", r)
		}
	}()
	copy(m[off:], b)
	return nil
}
