package conform

import (
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

func spaceChecks() []check {
	return []check{
		{name: "truncate", do: truncates},
		{name: "truncate errors", do: truncateErrors},
		{name: "largest file", do: largestFile},
		{name: "file size limit", do: fileSizeLimit},
		{name: "holes", do: holes},
		{name: "fallocate", do: fallocate},
		{name: "fallocate errors", do: fallocateErrors},
	}
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
