package conform

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"unsafe"

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
		{name: "truncate", do: truncates},
		{name: "truncate errors", do: truncateErrors},
		{name: "largest file", do: largestFile},
		{name: "file size limit", do: fileSizeLimit},
		{name: "holes", do: holes},
		{name: "fallocate", do: fallocate},
		{name: "fallocate errors", do: fallocateErrors},
		{name: "O_DIRECT", do: directIO},
		{name: "copy_file_range", do: copyFileRange},
		{name: "sendfile and splice", do: sendfile},
		{name: "sync", do: syncs},
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
	want := make([]byte, 5<<20+333)
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

// truncate(3p).
func truncates(s *scene) {
	s.write("f", strings.Repeat("x", 10000))
	s.symlink("f", "link")
	fd := s.open("f", unix.O_RDWR)
	s.fails("shorter", unix.Truncate(s.p("f"), 5000), done)
	s.is("size", s.fstat(fd).Size, 5000)
	s.fails("longer", unix.Ftruncate(fd, 9000), done)
	s.is("what was cut does not come back", s.readAt(fd, 5000, 4998), text(append([]byte("xx"), make([]byte, 4000)...)))
	s.fails("through a link", unix.Truncate(s.p("link"), 3), done)
	s.is("content", s.read("f"), `"xxx"`)
	s.fails("to nothing", unix.Truncate(s.p("f"), 0), done)
	s.writeAt(fd, "new", 2)
	s.is("content", s.read("f"), `"\x00\x00new"`)
	s.fails("O_TRUNC", s.opens("f", unix.O_TRUNC|unix.O_WRONLY), done)
	s.is("by the descriptor", s.readAt(fd, 10, 0), `""`)
}

func truncateErrors(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.fails("to read", unix.Ftruncate(s.open("f", unix.O_RDONLY), 0), unix.EINVAL)
	s.fails("negative", unix.Truncate(s.p("f"), -1), unix.EINVAL)
	s.fails("ftruncate negative", unix.Ftruncate(s.open("f", unix.O_WRONLY), -1), unix.EINVAL)
	s.fails("a directory", unix.Truncate(s.p("d"), 0), unix.EISDIR)
	s.fails("an open directory", unix.Ftruncate(s.open("d", unix.O_RDONLY), 0), unix.EINVAL)
	s.fails("absent", unix.Truncate(s.p("absent"), 0), unix.ENOENT)
	s.is("content", s.read("f"), `"f"`)
}

// ext4 with blocks of 4 KiB: 16 TiB less one block.
func largestFile(s *scene) {
	const most = 1<<44 - 4096
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	s.fails("grow to the most", unix.Ftruncate(fd, most), done)
	s.fails("grow beyond", unix.Ftruncate(fd, most+1), unix.EFBIG)
	s.is("size", s.fstat(fd).Size, int64(most))
	s.writeAt(fd, "z", most-1)
	_, err := unix.Pwrite(fd, []byte("z"), most)
	s.fails("write beyond", err, unix.EFBIG)
	n, err := unix.Pwrite(fd, []byte("zz"), most-1)
	s.fails("write over the edge", err, done)
	s.is("bytes", n, 1)
	s.is("read", s.readAt(fd, 10, most-1), `"z"`)
	s.fails("fallocate beyond", unix.Fallocate(fd, 0, most, 1), unix.EFBIG)
	s.ok(unix.Unlink(s.p("f")))
}

// setrlimit(2), RLIMIT_FSIZE: in a process of its own.
func fileSizeLimit(s *scene) {
	cmd := exec.Command("sh", "-c", `trap '' XFSZ; ulimit -f 8; dd if=/dev/zero of=f bs=1000 count=9 status=none; dd if=/dev/zero of=g bs=1 seek=100000 count=1 status=none; truncate -s 50000 f; ls -s f | cut -d' ' -f1`)
	cmd.Dir, cmd.Env = s.dir, []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	s.ok(err)
	s.note("they say", string(out))
	s.is("too large", strings.Count(string(out), "File too large"), 4)
	s.is("sizes", fmt.Sprint(s.stat("f").Size, s.stat("g").Size), "4096 0")
}

// lseek(2), SEEK_DATA and SEEK_HOLE.
func holes(s *scene) {
	const mib = 1 << 20
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	s.writeAt(fd, "start", 0)
	s.writeAt(fd, "middle", 2*mib+5000)
	s.ok(unix.Ftruncate(fd, 4*mib))
	s.ok(unix.Fsync(fd))
	var parts []string
	for at := int64(0); ; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		s.ok(err)
		at, err = unix.Seek(fd, data, unix.SEEK_HOLE)
		s.ok(err)
		parts = append(parts, fmt.Sprintf("%d-%d", data, at))
	}
	s.is("data", strings.Join(parts, " "), fmt.Sprintf("0-4096 %d-%d", 2*mib+4096, 2*mib+8192))
	hole, err := unix.Seek(fd, 4*mib-1, unix.SEEK_HOLE)
	s.ok(err)
	s.is("the hole at the end", hole, 4*mib-1)
	s.is("a hole reads", s.readAt(fd, 8, 2*mib+4998), `"\x00\x00middle"`)
	full := s.open("full", unix.O_CREAT|unix.O_RDWR)
	s.writeAt(full, strings.Repeat("x", 5000), 0)
	hole, err = unix.Seek(full, 0, unix.SEEK_HOLE)
	s.ok(err)
	s.is("no hole but the end", hole, 5000)
	_, err = unix.Seek(s.open("f", unix.O_RDONLY), 4*mib, unix.SEEK_DATA)
	s.fails("at the end", err, unix.ENXIO)
}

// fallocate(2): what FUSE passes on, see differences.
func fallocate(s *scene) {
	s.write("f", strings.Repeat("x", 20000))
	fd := s.open("f", unix.O_RDWR)
	try := func(what string, mode uint32, off, size int64, wantSize int64) {
		s.fails(what, unix.Fallocate(fd, mode, off, size), done)
		s.is("size", s.fstat(fd).Size, wantSize)
		s.is("stat", s.stat("f").Size, wantSize)
		s.note("content", s.read("f"))
	}
	try("within", 0, 0, 100, 20000)
	try("extend", 0, 19000, 2000, 21000)
	try("keep the size", unix.FALLOC_FL_KEEP_SIZE, 21000, 9000, 21000)
	try("punch", unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 100, 9000, 21000)
	s.is("punched", s.readAt(fd, 3, 9099), `"\x00xx"`)
	try("zero", unix.FALLOC_FL_ZERO_RANGE, 10000, 12000, 22000)
	try("zero, keep the size", unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, 9500, 50000, 22000)
	s.is("zeroed", s.readAt(fd, 3, 9499), `"x\x00\x00"`)
}

func fallocateErrors(s *scene) {
	s.write("f", "text")
	s.mkdir("d")
	fd := s.open("f", unix.O_RDWR)
	s.fails("to read", unix.Fallocate(s.open("f", unix.O_RDONLY), 0, 0, 10), unix.EBADF)
	s.fails("nothing", unix.Fallocate(fd, 0, 0, 0), unix.EINVAL)
	s.fails("before the start", unix.Fallocate(fd, 0, -1, 10), unix.EINVAL)
	s.fails("punch and grow", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, 10), unix.EOPNOTSUPP)
	s.fails("unknown", unix.Fallocate(fd, 1<<20, 0, 10), unix.EOPNOTSUPP)
	s.fails("a directory", unix.Fallocate(s.open("d", unix.O_RDONLY), 0, 0, 10), unix.EBADF)
	s.ok(unix.Ftruncate(fd, 4))
	s.is("content", s.read("f"), `"text"`)
}

// aligned is memory as O_DIRECT wants it.
func aligned(size int) []byte {
	const page = 4096
	buf := make([]byte, size+page)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % page)
	return buf[skip : skip+size]
}

// open(2), O_DIRECT; beside it the page cache shows the same.
func directIO(s *scene) {
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT)
	cached := s.open("f", unix.O_RDWR)
	block := aligned(64 << 10)
	for i := range block {
		block[i] = byte('a' + i/4096)
	}
	n, err := unix.Pwrite(fd, block, 0)
	s.fails("write", err, done)
	s.is("bytes", n, len(block))
	s.is("cached read", s.readAt(cached, 3, 4095), `"abb"`)
	s.writeAt(cached, "CACHED", 4094)
	got := aligned(8192)
	n, err = unix.Pread(fd, got, 0)
	s.fails("read", err, done)
	s.is("bytes", n, 8192)
	s.is("direct read of a cached write", string(got[4093:4101]), "aCACHEDb")
	n, err = unix.Pwrite(fd, block[:4096], 8192)
	s.fails("overwrite", err, done)
	s.is("cached read", s.readAt(cached, 2, 8191), `"ba"`)
	s.is("bytes", n, 4096)
	n, err = unix.Pread(fd, got, 60<<10)
	s.fails("read to the end", err, done)
	s.is("bytes", n, 4096)
	n, err = unix.Pread(fd, got, 64<<10)
	s.fails("read at the end", err, done)
	s.is("bytes", n, 0)
	end := s.open("f", unix.O_WRONLY|unix.O_APPEND|unix.O_DIRECT)
	n, err = unix.Write(end, block[4096:8192])
	s.fails("append", err, done)
	s.is("bytes", n, 4096)
	s.is("size", s.stat("f").Size, 68<<10)
	s.note("all", s.read("f"))
}

// copy_file_range(2).
func copyFileRange(s *scene) {
	s.write("from", "0123456789")
	s.write("to", "abc")
	s.mkdir("d")
	r, w := s.open("from", unix.O_RDONLY), s.open("to", unix.O_RDWR)
	try := func(what string, in, out int, off, at int64, size int, want unix.Errno, copied int) {
		n, err := unix.CopyFileRange(in, &off, out, &at, size, 0)
		s.fails(what, err, want)
		s.is("bytes", max(n, 0), copied)
	}
	try("some", r, w, 2, 1, 3, done, 3)
	s.is("content", s.read("to"), `"a234"`)
	try("up to the end", r, w, 8, 10, 100, done, 2)
	s.is("content", s.read("to"), `"a234\x00\x00\x00\x00\x00\x0089"`)
	try("at the end", r, w, 10, 0, 5, done, 0)
	try("within a file", w, w, 0, 20, 4, done, 4)
	try("onto itself", w, w, 0, 2, 4, unix.EINVAL, 0)
	try("to read", r, r, 0, 20, 4, unix.EBADF, 0)
	try("to append", r, s.open("to", unix.O_WRONLY|unix.O_APPEND), 0, 0, 4, unix.EBADF, 0)
	try("from a directory", s.open("d", unix.O_RDONLY), w, 0, 0, 4, unix.EISDIR, 0)
	n, err := unix.CopyFileRange(r, nil, w, nil, 4, 0)
	s.fails("at the offsets", err, done)
	s.is("bytes", n, 4)
	at, err := unix.Seek(w, 0, unix.SEEK_CUR)
	s.ok(err)
	s.is("offset", at, 4)
	_, err = unix.CopyFileRange(r, nil, w, nil, 4, 1<<5)
	s.fails("an unknown flag", err, unix.EINVAL)
	big := s.open("big", unix.O_CREAT|unix.O_RDWR)
	_, err = unix.Write(big, bytes.Repeat([]byte("big "), 300000))
	s.ok(err)
	copied := s.open("copied", unix.O_CREAT|unix.O_RDWR)
	for off := int64(0); ; {
		n, err := unix.CopyFileRange(big, &off, copied, nil, 1<<20, 0)
		s.ok(err)
		if n == 0 {
			break
		}
	}
	s.is("a big one", s.read("copied"), s.read("big"))
}

// sendfile(2), splice(2).
func sendfile(s *scene) {
	s.write("from", "0123456789")
	to := s.open("to", unix.O_CREAT|unix.O_RDWR)
	r := s.open("from", unix.O_RDONLY)
	off := int64(3)
	n, err := unix.Sendfile(to, r, &off, 100)
	s.fails("sendfile", err, done)
	s.is("bytes", n, 7)
	var pipe [2]int
	s.ok(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	s.fds = append(s.fds, pipe[:]...)
	moved, err := unix.Splice(r, nil, pipe[1], nil, 5, 0)
	s.fails("splice from a file", err, done)
	s.is("bytes", moved, 5)
	moved, err = unix.Splice(pipe[0], nil, to, nil, 5, 0)
	s.fails("splice to a file", err, done)
	s.is("bytes", moved, 5)
	s.is("content", s.read("to"), `"345678901234"`)
}

func syncs(s *scene) {
	s.files("f")
	s.mkdir("d")
	w, r, d := s.open("f", unix.O_WRONLY), s.open("f", unix.O_RDONLY), s.open("d", unix.O_RDONLY)
	for _, fd := range []int{w, r, d} {
		s.writeAt(w, "text", 0)
		s.fails("fsync", unix.Fsync(fd), done)
		s.fails("fdatasync", unix.Fdatasync(fd), done)
		s.fails("syncfs", unix.Syncfs(fd), done)
	}
	s.fails("sync_file_range", unix.SyncFileRange(w, 0, 2, unix.SYNC_FILE_RANGE_WRITE), done)
	s.fails("fsync of a place", unix.Fsync(s.open("f", unix.O_PATH)), unix.EBADF)
	for _, flag := range []int{unix.O_SYNC, unix.O_DSYNC} {
		s.writeAt(s.open("f", unix.O_WRONLY|flag), "more", 4)
	}
	s.fails("fadvise", unix.Fadvise(r, 0, 0, unix.FADV_DONTNEED), done)
	s.fails("readahead", readahead(r), done)
	s.is("content", s.read("f"), `"textmore"`)
}

// Operations of all kinds on one file, by several descriptors and a mapping, as
// fsx does: what is read is what a model says.
func randomOperations(s *scene) {
	r := rand.New(rand.NewPCG(7, 7))
	const most = 300 << 10
	var model []byte
	fds := []int{s.open("f", unix.O_CREAT|unix.O_RDWR), s.open("f", unix.O_RDWR)}
	grow := func(size int) {
		if size > len(model) {
			model = append(model, make([]byte, size-len(model))...)
		}
	}
	for i := range 400 {
		fd, off, size := fds[r.IntN(2)], r.IntN(most), r.IntN(20<<10)
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
