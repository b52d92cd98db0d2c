package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestFind takes away the file that was found, round by round, and so walks down
// the look-up order.
func TestFind(t *testing.T) {
	root := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	write := func(file string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) string {
		return map[string]string{"HOME": at("home"), "XDG_CONFIG_HOME": at("xdg")}[name]
	}
	cwd := at("work", "deep", "er")
	near, far := at("work", "deep", Dir, Name), at("work", Dir, Name)
	user, home, dir := at("xdg", "smfs", Name), at("home", Dir), at("dir", Dir, Name)
	for _, file := range []string{near, far, user, home, dir} {
		write(file)
	}
	for _, want := range []string{near, far, user, home} {
		if got, err := Find("", "", cwd, env); err != nil || got != want {
			t.Fatalf("Find from %s = %q, %v; want %q", cwd, got, err, want)
		}
		if err := os.Remove(want); err != nil {
			t.Fatal(err)
		}
	}
	write(near)
	write(user)
	for _, want := range []string{dir, user} {
		if got, err := Find("", at("dir"), cwd, env); err != nil || got != want {
			t.Fatalf("Find for a directory = %q, %v; want %q", got, err, want)
		}
		if err := os.Remove(want); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindNamed(t *testing.T) {
	dir := t.TempDir()
	named, other := filepath.Join(dir, "c.ini"), filepath.Join(dir, "e.ini")
	for _, file := range []string{named, other} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := func(string) string { return "" }
	env := func(name string) string { return map[string]string{"SMFS_CONFIG": "e.ini"}[name] }
	for _, tt := range []struct {
		explicit string
		env      func(string) string
		want     string
	}{{named, env, named}, {"c.ini", none, named}, {"", env, other}} {
		if got, err := Find(tt.explicit, "", dir, tt.env); err != nil || got != tt.want {
			t.Errorf("Find(%q) = %q, %v; want %q", tt.explicit, got, err, tt.want)
		}
	}
	for _, missing := range []string{"missing.ini", "."} {
		if _, err := Find(missing, "", dir, env); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Find(%q): %v, want ErrNotExist", missing, err)
		}
	}
}

func TestCheckOwner(t *testing.T) {
	file := filepath.Join(t.TempDir(), Name)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	if owner == 0 { // root's files are trusted by all
		if err := checkOwner(file, 1000); err != nil {
			t.Errorf("a file of root: %v", err)
		}
		owner = 1000
		if err := os.Chown(file, owner, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkOwner(file, owner); err != nil {
		t.Errorf("an own file: %v", err)
	}
	for _, euid := range []int{0, owner + 1} {
		if err := checkOwner(file, euid); !errors.Is(err, ErrOwner) {
			t.Errorf("a file of user %d, seen by %d: %v, want ErrOwner", owner, euid, err)
		}
	}
}

func TestUserFiles(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "not/absolute"}[name]
	}
	want := []string{"/h/.config/smfs/config.ini", "/h/.silvermirror", "/etc/silvermirror"}
	got := userFiles(env)
	if len(got) != len(want) {
		t.Fatalf("userFiles = %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("place %d is %q, want %q", i, got[i], want[i])
		}
	}
	if got := userFiles(func(string) string { return "" }); len(got) != 1 || got[0] != "/etc/silvermirror" {
		t.Errorf("without a home: %q", got)
	}
}
