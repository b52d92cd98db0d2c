package conform

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

func transferChecks() []check {
	return []check{
		{name: "O_DIRECT", do: directIO},
		{name: "copy_file_range", do: copyFileRange},
		{name: "sendfile and splice", do: sendfile},
		{name: "sync", do: syncs},
	}
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
