package conform

import (
	"os"
	"os/exec"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

func mapChecks() []check {
	return []check{
		{name: "shared mappings", do: sharedMappings},
		{name: "mappings outlive their file", do: mappingsOutlive},
		{name: "mappings at the end", do: mappingsAtTheEnd},
		{name: "mmap errors", do: mmapErrors},
		{name: "execute", do: execute},
		{name: "text file busy", do: textBusy},
	}
}

// mapped maps a file; the mapping goes when the check ends.
func (s *scene) mapped(fd, size, prot, flags int) []byte {
	s.t.Helper()
	m, err := unix.Mmap(fd, 0, size, prot, flags)
	s.ok(err)
	s.maps = append(s.maps, m)
	return m
}

// mmap(3p): one content, by whatever way.
func sharedMappings(s *scene) {
	s.write("f", strings.Repeat(".", 10000))
	a, b := s.open("f", unix.O_RDWR), s.open("f", unix.O_RDWR)
	const rw = unix.PROT_READ | unix.PROT_WRITE
	m1, m2 := s.mapped(a, 10000, rw, unix.MAP_SHARED), s.mapped(b, 10000, rw, unix.MAP_SHARED)
	private := s.mapped(a, 10000, rw, unix.MAP_PRIVATE)
	copy(m1[4090:], "one mapping")
	s.is("seen by the other", string(m2[4090:4101]), "one mapping")
	s.is("read", s.readAt(b, 11, 4090), `"one mapping"`)
	s.writeAt(b, "written", 5000)
	s.is("a write is seen", string(m1[5000:5007]), "written")
	copy(private[9000:], "private")
	s.is("a private one is not", s.readAt(a, 7, 9000), `"......."`)
	s.fails("msync", unix.Msync(m1, unix.MS_SYNC), done)
	s.is("by name", s.read("f"), s.readAt(a, 10000, 0))
	s.ok(unix.Ftruncate(a, 100))
	s.ok(unix.Ftruncate(a, 10000))
	s.is("what was cut", string(m1[98:102]), "..\x00\x00")
	s.is("what was cut on a page of its own", m2[5000], 0)
	for _, m := range [][]byte{m1, m2, private} {
		s.ok(unix.Munmap(m))
	}
	s.note("left", s.read("f"))
}

// A mapping holds its file without a descriptor, without a name.
func mappingsOutlive(s *scene) {
	s.write("f", "before the store")
	s.write("g", "before the store")
	for _, name := range []string{"f", "g"} {
		fd := s.open(name, unix.O_RDWR)
		m := s.mapped(fd, 16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		s.close(fd)
		copy(m, "after ")
		s.is("read", s.read(name), `"after  the store"`)
		if name == "g" {
			s.ok(unix.Unlink(s.p(name)))
			s.write(name, "another")
		}
		copy(m, "late  ")
		s.fails("msync", unix.Msync(m, unix.MS_SYNC), done)
		s.is("mapped", string(m), "late   the store")
		s.ok(unix.Munmap(m))
	}
	s.is("f", s.read("f"), `"late   the store"`)
	s.is("g", s.read("g"), `"another"`)
}

// mmap(2): behind the end of the file, on its last page, are zeros that stay in
// memory; a page behind that is no memory.
func mappingsAtTheEnd(s *scene) {
	s.write("f", strings.Repeat("x", 5000))
	fd := s.open("f", unix.O_RDWR)
	m := s.mapped(fd, 16384, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.is("behind the end", m[5000], 0)
	m[5001] = 'y'
	s.is("size", s.stat("f").Size, 5000)
	s.is("a page behind", faults(func() { m[9000] = 1 }), true)
	s.ok(unix.Ftruncate(fd, 16384))
	s.is("once it is there", faults(func() { m[9000] = 'z' }), false)
	s.is("read", s.readAt(fd, 3, 8999), `"\x00z\x00"`)
	s.ok(unix.Ftruncate(fd, 100))
	s.is("once it is gone", faults(func() { m[9000] = 1 }), true)
	s.ok(unix.Munmap(m))
}

// faults tells whether an act gets SIGBUS.
func faults(act func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() != nil }()
	act()
	return false
}

// mmap(2), ERRORS.
func mmapErrors(s *scene) {
	s.files("f")
	s.mkdir("d")
	fails := func(what string, fd, size, prot, flags int, want unix.Errno) {
		m, err := unix.Mmap(fd, 0, size, prot, flags)
		s.fails(what, err, want)
		if err == nil {
			s.ok(unix.Munmap(m))
		}
	}
	r, w := s.open("f", unix.O_RDONLY), s.open("f", unix.O_WRONLY)
	fails("write what is read", r, 1, unix.PROT_WRITE, unix.MAP_SHARED, unix.EACCES)
	fails("a copy of what is read", r, 1, unix.PROT_WRITE, unix.MAP_PRIVATE, done)
	fails("read what is written", w, 1, unix.PROT_READ, unix.MAP_SHARED, unix.EACCES)
	fails("a directory", s.open("d", unix.O_RDONLY), 1, unix.PROT_READ, unix.MAP_SHARED, unix.ENODEV)
	fails("a place", s.open("f", unix.O_PATH), 1, unix.PROT_READ, unix.MAP_SHARED, unix.EBADF)
	fails("neither shared nor private", r, 1, unix.PROT_READ, 0, unix.EINVAL)
}

// execve(2): scripts and programs, and who may not be one.
func execute(s *scene) {
	s.write("script", "#!/bin/sh\necho \"$0 says $1\"\n")
	s.fails("without leave", exec.Command(s.p("script")).Run(), unix.EACCES) // root as well
	s.chmod("script", 0o755)
	out, err := exec.Command(s.p("script"), "hello").Output()
	s.ok(err)
	s.is("script", strings.TrimPrefix(string(out), s.dir+"/"), "script says hello\n")
	s.program("true")
	s.fails("program", exec.Command(s.p("true")).Run(), done)
	s.write("garbage", "no program")
	s.chmod("garbage", 0o755)
	s.fails("garbage", exec.Command(s.p("garbage")).Run(), unix.ENOEXEC)
	s.mkdir("dir")
	s.fails("a directory", exec.Command(s.p("dir")).Run(), unix.EACCES)
	s.ok(unix.Unlink(s.p("true")))
}

// program copies a small program here.
func (s *scene) program(name string) {
	s.t.Helper()
	path, err := exec.LookPath(name)
	s.ok(err)
	data, err := os.ReadFile(path)
	s.ok(err)
	s.ok(os.WriteFile(s.p(name), data, 0o755))
}

// execve(2) and open(2), ETXTBSY.
func textBusy(s *scene) {
	s.program("sleep")
	fd := s.open("sleep", unix.O_WRONLY)
	s.fails("run what is open to write", exec.Command(s.p("sleep"), "0").Run(), unix.ETXTBSY)
	s.close(fd)
	cmd := exec.Command(s.p("sleep"), "1000")
	s.ok(cmd.Start())
	s.fails("write what runs", s.opens("sleep", unix.O_WRONLY), unix.ETXTBSY)
	s.fails("truncate it", unix.Truncate(s.p("sleep"), 0), unix.ETXTBSY)
	s.fails("remove it", unix.Unlink(s.p("sleep")), done)
	s.ok(cmd.Process.Kill())
	_ = cmd.Wait()
}
