package control

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSocketDirs(t *testing.T) {
	env := func(string) string { return "/run/user/5" }
	none := func(string) string { return "" }
	relative := func(string) string { return "run" }
	for _, c := range []struct {
		uid  int
		env  func(string) string
		want []string
	}{
		{5, env, []string{"/run/user/5/smfs/ID", "/tmp/smfs-5/ID"}},
		{5, none, []string{"/tmp/smfs-5/ID"}},
		{5, relative, []string{"/tmp/smfs-5/ID"}},
		{0, none, []string{"/run/smfs/ID", "/tmp/smfs-0/ID"}},
	} {
		if got := SocketDirs("ID", c.uid, c.env); !reflect.DeepEqual(got, c.want) {
			t.Errorf("uid %d: %q, want %q", c.uid, got, c.want)
		}
	}
}

func TestListenRefusesUnsafeDirectories(t *testing.T) {
	tmp := t.TempDir()
	open := filepath.Join(tmp, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(tmp, "link")
	if err := os.Mkdir(filepath.Join(tmp, "target"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{
		filepath.Join(open, "id"), filepath.Join(link, "id"), filepath.Join(tmp, "missing", "smfs", "id"),
		filepath.Join(tmp, strings.Repeat("x", 100), "id"),
	} {
		if l, err := Listen([]string{dir}); err == nil {
			l.Close()
			t.Errorf("listens in %s", dir)
		}
	}
	good := filepath.Join(tmp, "smfs", "id")
	l, err := Listen([]string{filepath.Join(open, "id"), good})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if filepath.Dir(l.Addr().String()) != good {
		t.Errorf("listens at %s, not in %s", l.Addr(), good)
	}
	for _, path := range []string{good, filepath.Dir(good), l.Addr().String()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v: open to others", path, info.Mode(), err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "smfs")
	a, err := Listen([]string{filepath.Join(parent, "a")})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Listen([]string{filepath.Join(parent, "b")})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if names, err := os.ReadDir(parent); err != nil || len(names) != 1 {
		t.Errorf("beside another mirror's: %v, %v", names, err)
	}
	b.Close()
	if _, err := os.Lstat(parent); !os.IsNotExist(err) {
		t.Errorf("the directory of all: %v", err)
	}
}

func TestListenRemovesDeadSockets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "smfs", "id")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dead, live := filepath.Join(dir, "1.sock"), filepath.Join(dir, "2.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	other, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	own, err := Listen([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Errorf("the dead socket: %v", err)
	}
	if _, err := os.Lstat(live); err != nil {
		t.Errorf("the live socket: %v", err)
	}
}

func TestDialRefusesWhatIsNoPath(t *testing.T) {
	for _, socket := range []string{"", "@abstract", "relative.sock", "/nonexistent/x.sock"} {
		if c, err := Dial(t.Context(), socket); err == nil {
			c.Close()
			t.Errorf("connected to %q", socket)
		}
	}
}
