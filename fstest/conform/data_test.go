package conform

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func dataChecks() []check {
	return []check{
		{name: "read and write", do: readWrite},
		{name: "descriptors", do: descriptors},
		{name: "read and write errors", do: readWriteErrors},
		{name: "vectors", do: vectors},
		{name: "big file", do: bigFile},
		{name: "O_APPEND", do: appends},
		{name: "appends by many writers", do: manyAppends},
		{name: "random operations", do: randomOperations},
	}
}

// pwrite(3p), pread(3p).
func readWrite(s *scene) {
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	s.is("empty", s.readAt(fd, 10, 0), `""`)
	s.writeAt(fd, "hello", 0)
	s.writeAt(fd, "J", 0)
	s.writeAt(fd, "world", 10)
	s.is("all", s.readAt(fd, 100, 0), `"Jello\x00\x00\x00\x00\x00world"`)
	s.is("some", s.readAt(fd, 3, 9), `"\x00wo"`)
	s.is("the end", s.readAt(fd, 100, 14), `"d"`)
	s.is("at the end", s.readAt(fd, 100, 15), `""`)
	s.is("behind it", s.readAt(fd, 100, 1<<40), `""`)
	s.is("nothing", s.readAt(fd, 0, 0), `""`)
	s.writeAt(fd, "", 100)
	s.is("size", s.stat("f").Size, 15) // nothing extends nothing
	s.is("by the name", s.read("f"), `"Jello\x00\x00\x00\x00\x00world"`)
}

// The offset belongs to the open file description: dup shares it, open does not.
func descriptors(s *scene) {
	s.write("f", "0123456789")
	fd := s.open("f", unix.O_RDWR)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	s.ok(err)
	s.fds = append(s.fds, dup)
	other := s.open("f", unix.O_RDONLY)
	next := func(fd int) string {
		buf := make([]byte, 3)
		n, err := unix.Read(fd, buf)
		s.ok(err)
		return string(buf[:n])
	}
	s.is("first", next(fd), "012")
	s.is("dup goes on", next(dup), "345")
	s.is("another open", next(other), "012")
	at, err := unix.Seek(dup, -2, unix.SEEK_END)
	s.ok(err)
	s.is("seek from the end", at, 8)
	s.is("there", next(fd), "89")
	at, err = unix.Seek(fd, 100, unix.SEEK_CUR)
	s.ok(err)
	s.is("seek from here", at, 110)
	s.is("behind the end", next(fd), "")
	_, err = unix.Write(dup, []byte("x"))
	s.ok(err)
	s.is("size", s.stat("f").Size, 111)
	s.is("the other open", next(other), "345")
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	s.ok(err)
	s.is("mode", flags&unix.O_ACCMODE, unix.O_RDWR)
	s.ok(unix.Truncate(s.p("f"), 4))
	s.is("after a cut", next(other), "")
}

// read(2), write(2), lseek(2), ERRORS.
func readWriteErrors(s *scene) {
	s.files("f")
	s.mkdir("d")
	r, w, d := s.open("f", unix.O_RDONLY), s.open("f", unix.O_WRONLY), s.open("d", unix.O_RDONLY)
	buf := make([]byte, 10)
	fails := func(what string, want unix.Errno, call func() (int, error)) {
		_, err := call()
		s.fails(what, err, want)
	}
	fails("write to read", unix.EBADF, func() (int, error) { return unix.Write(r, buf) })
	fails("read what is written", unix.EBADF, func() (int, error) { return unix.Read(w, buf) })
	fails("read a directory", unix.EISDIR, func() (int, error) { return unix.Read(d, buf) })
	fails("pread a directory", unix.EISDIR, func() (int, error) { return unix.Pread(d, buf, 0) })
	fails("write a directory", unix.EBADF, func() (int, error) { return unix.Write(d, buf) })
	fails("pread before the start", unix.EINVAL, func() (int, error) { return unix.Pread(r, buf, -1) })
	fails("pwrite before the start", unix.EINVAL, func() (int, error) { return unix.Pwrite(w, buf, -1) })
	seek := func(off int64, whence int) func() (int, error) {
		return func() (int, error) { n, err := unix.Seek(r, off, whence); return int(n), err }
	}
	fails("seek before the start", unix.EINVAL, seek(-1, unix.SEEK_SET))
	fails("seek before the start from the end", unix.EINVAL, seek(-2, unix.SEEK_END))
	fails("seek from nowhere", unix.EINVAL, seek(0, 17))
	fails("seek for data at the end", unix.ENXIO, seek(1, unix.SEEK_DATA))
	fails("seek for a hole behind the end", unix.ENXIO, seek(2, unix.SEEK_HOLE))
	s.is("content", s.read("f"), `"f"`)
}

// readv(2), writev(2), preadv2(2).
func vectors(s *scene) {
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	var parts [][]byte
	for i := range 1000 {
		parts = append(parts, bytes.Repeat([]byte{byte('a' + i%26)}, i%37))
	}
	whole := bytes.Join(parts, nil)
	n, err := unix.Writev(fd, parts)
	s.fails("writev", err, done)
	s.is("bytes", n, len(whole))
	n, err = unix.Pwritev(fd, [][]byte{[]byte("x"), nil, []byte("yz")}, 100)
	s.fails("pwritev", err, done)
	s.is("bytes", n, 3)
	copy(whole[100:], "xyz")
	got := make([]byte, len(whole)+10)
	n, err = unix.Preadv(fd, [][]byte{got[:7], got[7:5000], got[5000:]}, 0)
	s.fails("preadv", err, done)
	s.is("the same", bytes.Equal(got[:n], whole), true)
	n, err = unix.Pwritev2(fd, [][]byte{[]byte("end")}, 0, unix.RWF_APPEND)
	s.fails("append this once", err, done)
	s.is("where", s.readAt(fd, 10, int64(len(whole))), `"end"`)
	s.is("bytes", n, 3)
	_, err = unix.Pwritev2(fd, [][]byte{[]byte("sync")}, 0, unix.RWF_DSYNC)
	s.fails("synchronously", err, done)
	_, err = unix.Pwritev2(fd, [][]byte{[]byte("x")}, 0, 1<<30)
	s.fails("an unknown flag", err, unix.EOPNOTSUPP)
}

// Data that takes many requests comes back whole, whatever the pieces.
func bigFile(s *scene) {
	want := make([]byte, 3<<20+333)
	for i := range want {
		want[i] = byte(i * 7 >> uint(i%5))
	}
	fd := s.open("big", unix.O_CREAT|unix.O_RDWR)
	r := rand.New(rand.NewPCG(1, 1))
	for at := 0; at < len(want); {
		size := min(1+r.IntN(700<<10), len(want)-at)
		n, err := unix.Write(fd, want[at:at+size])
		s.ok(err)
		at += n
	}
	sum := func(fd, piece int) string {
		h := sha256.New()
		buf := make([]byte, piece)
		for at := int64(0); ; {
			n, err := unix.Pread(fd, buf, at)
			s.ok(err)
			if n == 0 {
				return fmt.Sprintf("%.8x", h.Sum(nil))
			}
			h.Write(buf[:n])
			at += int64(n)
		}
	}
	all := sha256.Sum256(want)
	s.is("as written", sum(fd, 4<<20), fmt.Sprintf("%.8x", all[:]))
	s.is("by another open", sum(s.open("big", unix.O_RDONLY), 77777), fmt.Sprintf("%.8x", all[:]))
	s.ok(unix.Fsync(fd))
	s.is("after fsync", sum(fd, 1<<16), fmt.Sprintf("%.8x", all[:]))
}

// write(3p), O_APPEND: each write goes to the end at that time.
func appends(s *scene) {
	s.write("f", "start")
	a, b := s.open("f", unix.O_WRONLY|unix.O_APPEND), s.open("f", unix.O_RDWR|unix.O_APPEND)
	put := func(fd int, text string) {
		_, err := unix.Write(fd, []byte(text))
		s.ok(err)
	}
	put(a, " a")
	put(b, " b")
	_, err := unix.Seek(a, 0, unix.SEEK_SET)
	s.ok(err)
	put(a, " a")
	s.is("content", s.read("f"), `"start a b a"`)
	s.writeAt(b, " p", 0) // pwrite(2), BUGS: it appends all the same
	s.is("pwrite", s.read("f"), `"start a b a p"`)
	at, err := unix.Seek(a, 0, unix.SEEK_CUR)
	s.ok(err)
	s.is("offset", at, 11)
	s.ok(unix.Ftruncate(b, 2))
	put(a, " cut")
	s.is("after a cut", s.read("f"), `"st cut"`)
	_, err = unix.FcntlInt(uintptr(b), unix.F_SETFL, 0)
	s.ok(err)
	_, err = unix.FcntlInt(uintptr(b), unix.F_SETFL, unix.O_APPEND)
	s.ok(err)
	s.writeAt(b, " later", 0)
	s.is("O_APPEND set later", s.read("f"), `"st cut later"`)
}

// Appends are atomic: no line is lost or torn, whoever writes.
func manyAppends(s *scene) {
	s.write("log", "")
	const writers, lines = 6, 60
	failed := make(chan error)
	for i := range writers {
		go func() {
			fd, err := unix.Open(s.p("log"), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
			for n := 0; err == nil && n < lines; n++ {
				_, err = unix.Write(fd, fmt.Appendf(nil, "%d %02d %s\n", i, n, strings.Repeat(string(rune('a'+i)), 100*i)))
			}
			failed <- errors.Join(err, unix.Close(fd))
		}()
	}
	for range writers {
		s.ok(<-failed)
	}
	size := int(s.stat("log").Size)
	buf := make([]byte, size+1)
	n, err := unix.Read(s.open("log", unix.O_RDONLY), buf)
	s.ok(err)
	got := strings.Split(strings.TrimSuffix(string(buf[:n]), "\n"), "\n")
	next := map[byte]int{}
	for _, line := range got {
		var n int
		fmt.Sscanf(line[2:4], "%d", &n)
		if next[line[0]] != n {
			s.t.Errorf("writer %c: line %d comes where %d should", line[0], n, next[line[0]])
		}
		next[line[0]]++
	}
	slices.Sort(got)
	s.is("lines", len(slices.Compact(got)), writers*lines)
	s.ok(unix.Unlink(s.p("log"))) // the order is anyone's
}

// Operations of all kinds on one file, by several descriptors and a mapping, as
// fsx does: what is read is what a model says.
func randomOperations(s *scene) {
	r := rand.New(rand.NewPCG(7, 7))
	const most = 128 << 10
	var model []byte
	fds := []int{s.open("f", unix.O_CREAT|unix.O_RDWR), s.open("f", unix.O_RDWR)}
	grow := func(size int) {
		if size > len(model) {
			model = append(model, make([]byte, size-len(model))...)
		}
	}
	for i := range 250 {
		fd, off, size := fds[r.IntN(2)], r.IntN(most), r.IntN(16<<10)
		off -= off % []int{1, 512, 4096}[r.IntN(3)]
		op := r.IntN(8)
		switch op {
		case 0, 1:
			data := bytes.Repeat([]byte{byte(i)}, size)
			s.writeAt(fd, string(data), int64(off))
			if size > 0 {
				grow(off + size)
				copy(model[off:], data)
			}
		case 2:
			s.ok(unix.Ftruncate(fd, int64(off)))
			grow(off)
			model = model[:off]
		case 3:
			s.ok(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(size)+1))
			clear(model[min(off, len(model)):min(off+size+1, len(model))])
		case 4:
			s.ok(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(size)+1))
			grow(off + size + 1)
			clear(model[off : off+size+1])
		case 5:
			if len(model) > 0 {
				m := s.mapped(fd, len(model), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
				at := off % len(model)
				end := min(at+size, len(model))
				for j := at; j < end; j++ {
					m[j], model[j] = byte(j), byte(j)
				}
				s.ok(unix.Munmap(m))
			}
		case 6:
			from, to := int64(off), int64((off+most/2)%most)
			if n, err := unix.CopyFileRange(fd, &from, fds[0], &to, min(size, most/4), 0); err == nil && n > 0 {
				grow(int(to))
				copy(model[int(to)-n:], bytes.Clone(model[off:off+n]))
			} else {
				s.ok(err)
			}
		}
		got := make([]byte, len(model)+1)
		n, err := unix.Pread(fds[r.IntN(2)], got, 0)
		s.ok(err)
		if !bytes.Equal(got[:n], model) {
			s.t.Errorf("after operation %d (kind %d, at %d, %d bytes): %d bytes, want %d", i, op, off, size, n, len(model))
			return
		}
	}
	s.is("in the end", s.read("f"), text(model))
}
