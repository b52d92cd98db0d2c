package conform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func specialChecks() []check {
	return []check{
		{name: "FIFOs", do: fifos},
		{name: "sockets", do: sockets},
		{name: "mknod", do: mknods},
		{name: "devices", do: devices},
	}
}

// fifo(7).
func fifos(s *scene) {
	s.ok(unix.Mkfifo(s.p("p"), 0o644))
	s.fails("write to nobody", s.opens("p", unix.O_WRONLY|unix.O_NONBLOCK), unix.ENXIO)
	r := s.open("p", unix.O_RDONLY|unix.O_NONBLOCK)
	w := s.open("p", unix.O_WRONLY)
	_, err := unix.Write(w, []byte("through it"))
	s.fails("write", err, done)
	buf := make([]byte, 100)
	n, err := unix.Read(r, buf)
	s.fails("read", err, done)
	s.is("text", text(buf[:n]), `"through it"`)
	_, err = unix.Pread(r, buf, 0)
	s.fails("pread", err, unix.ESPIPE)
	s.fails("ftruncate", unix.Ftruncate(w, 0), unix.EINVAL)
	s.ok(s.rename("p", "q"))
	s.ok(s.link("q", "p2"))
	again := s.open("p2", unix.O_WRONLY)
	_, err = unix.Write(again, []byte("by another name"))
	s.ok(err)
	n, err = unix.Read(r, buf)
	s.ok(err)
	s.is("one pipe", text(buf[:n]), `"by another name"`)
	s.is("size", s.stat("q").Size, 0)
}

// unix(7): an address in the filesystem.
func sockets(s *scene) {
	stream := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		s.ok(err)
		s.fds = append(s.fds, fd)
		return fd
	}
	address := func(name string) unix.Sockaddr { // a path has 108 bytes at most: by descriptor
		return &unix.SockaddrUnix{Name: procPath(s.open(".", unix.O_PATH)) + "/" + name}
	}
	server := stream()
	s.fails("bind", unix.Bind(server, address("s")), done)
	s.fails("bind again", unix.Bind(stream(), address("s")), unix.EADDRINUSE)
	s.fails("connect before listen", unix.Connect(stream(), address("s")), unix.ECONNREFUSED)
	s.ok(unix.Listen(server, 5))
	client := stream()
	s.fails("connect", unix.Connect(client, address("s")), done)
	_, err := unix.Write(client, []byte("hello"))
	s.ok(err)
	conn, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
	s.fails("accept", err, done)
	s.fds = append(s.fds, conn)
	buf := make([]byte, 10)
	n, err := unix.Read(conn, buf)
	s.ok(err)
	s.is("text", text(buf[:n]), `"hello"`)
	s.fails("open", s.opens("s", unix.O_RDWR), unix.ENXIO)
	s.ok(s.rename("s", "moved"))
	s.fails("connect after a rename", unix.Connect(stream(), address("moved")), done)
	s.fails("connect to a file", func() error { s.files("f"); return unix.Connect(stream(), address("f")) }(), unix.ECONNREFUSED)
}

// mknod(2): regular files too; directories never.
func mknods(s *scene) {
	s.umask(0o027, func() {
		for i, kind := range []uint32{unix.S_IFREG, 0, unix.S_IFIFO, unix.S_IFSOCK} {
			name := fmt.Sprint("node", i)
			s.fails("mknod", unix.Mknod(s.p(name), kind|0o666, 0), done)
			s.is("mode", s.mode(name), "0640")
		}
	})
	s.fails("a directory", unix.Mknod(s.p("d"), unix.S_IFDIR|0o755, 0), unix.EPERM)
	s.fails("a link", unix.Mknod(s.p("l"), unix.S_IFLNK|0o777, 0), unix.EINVAL)
	s.fails("nothing", unix.Mknod(s.p("n"), 0o170000|0o644, 0), unix.EINVAL)
}

// Devices are root's to make.
func devices(s *scene) {
	s.fails("character", unix.Mknod(s.p("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), s.unlessRoot(unix.EPERM))
	s.fails("block", unix.Mknod(s.p("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(700, 70000))), s.unlessRoot(unix.EPERM))
	if s.root {
		s.is("numbers", []uint64{s.stat("char").Rdev, s.stat("block").Rdev}, []uint64{unix.Mkdev(1, 3), unix.Mkdev(700, 70000)})
		x := s.statx("block")
		s.is("by statx", []uint32{x.Rdev_major, x.Rdev_minor}, []uint32{700, 70000})
	}
}
