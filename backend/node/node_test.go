package node

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

func create(t *testing.T, dir, name string) *Node {
	t.Helper()
	n, _, err := Create(dir, New{Name: name, Config: []byte("config\n")})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCreate(t *testing.T) {
	dir := t.TempDir() + "/" + StateDir
	n, created, err := Create(dir, New{Name: "laptop", Config: []byte("config\n")})
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if n.Name != "laptop" || !validID(n.Mirror) || n.Signer.PublicKey().Type() != ssh.KeyAlgoED25519 {
		t.Errorf("node %+v", n)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, ConfigName: 0o600, KeyName: 0o600, PublicName: 0o644} {
		info, err := os.Stat(dir + "/" + name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, mode)
		}
	}
	line, err := os.ReadFile(dir + "/" + PublicName)
	if err != nil {
		t.Fatal(err)
	}
	public, comment, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil || comment != "laptop" || string(public.Marshal()) != string(n.Signer.PublicKey().Marshal()) {
		t.Errorf("public key %q: %v", line, err)
	}
	raw, err := ssh.ParseRawPrivateKey(mustRead(t, dir+"/"+KeyName))
	if _, ok := raw.(*ed25519.PrivateKey); err != nil || !ok {
		t.Errorf("private key %T: %v", raw, err)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("temporaries stayed: %q", left)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCreateCompletes(t *testing.T) {
	dir := t.TempDir() + "/" + StateDir
	first := create(t, dir, "a")
	second, created, err := Create(dir, New{Name: "b", Config: []byte("other\n")})
	if err != nil || created || second.Name != "a" || second.Mirror != first.Mirror {
		t.Errorf("creating again: %+v, created %v, %v", second, created, err)
	}
	if got := string(mustRead(t, dir+"/"+ConfigName)); got != "config\n" {
		t.Errorf("the config became %q", got)
	}

	// A user's own config in a directory that anybody may enter.
	dir = t.TempDir() + "/" + StateDir
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+ConfigName, []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	create(t, dir, "a")
	if got := string(mustRead(t, dir+"/"+ConfigName)); got != "mine\n" {
		t.Errorf("the user's config became %q", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v, %v", info.Mode(), err)
	}
}

func TestConfigElsewhere(t *testing.T) {
	dir := t.TempDir() + "/" + StateDir
	n, _, err := Create(dir, New{Name: "a", ConfigFile: "/etc/silvermirror"})
	if err != nil || n.Config != "/etc/silvermirror" {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := os.Stat(dir + "/" + ConfigName); !os.IsNotExist(err) {
		t.Errorf("a second config: %v", err)
	}
}

// Whoever is first, all get the same node.
func TestCreateAtOnce(t *testing.T) {
	dir := t.TempDir() + "/" + StateDir
	nodes := make([]*Node, 8)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			n, _, err := Create(dir, New{Name: string(rune('a' + i)), Config: []byte("config\n")})
			if err != nil {
				t.Error(err)
			}
			nodes[i] = n
		})
	}
	wg.Wait()
	for _, n := range nodes {
		if n == nil || nodes[0] == nil || n.Mirror != nodes[0].Mirror || n.Name != nodes[0].Name ||
			string(n.Signer.PublicKey().Marshal()) != string(nodes[0].Signer.PublicKey().Marshal()) {
			t.Errorf("%+v and %+v", n, nodes[0])
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(dir string) error
		want  error
	}{
		{"no key", func(d string) error { return os.Remove(d + "/" + KeyName) }, ErrNotMirror},
		{"no node", func(d string) error { return os.Remove(d + "/" + nodeName) }, ErrNotMirror},
		{"open key", func(d string) error { return os.Chmod(d+"/"+KeyName, 0o640) }, ErrKey},
		{"broken key", func(d string) error { return os.WriteFile(d+"/"+KeyName, []byte("x"), 0o600) }, ErrKey},
		{"newer", func(d string) error { return os.WriteFile(d+"/"+nodeName, []byte(`{"format":2}`), 0o600) }, ErrNewer},
		{"bad name", func(d string) error {
			return os.WriteFile(d+"/"+nodeName, []byte(`{"format":1,"mirror":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","name":"<"}`), 0o600)
		}, ErrName},
	} {
		dir := t.TempDir() + "/" + StateDir
		create(t, dir, "a")
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

func TestLoadRefusesAnIDThatIsAPath(t *testing.T) {
	for _, id := range []string{"", "../../../../../../../../etc", "ABCDEFGHIJKLMNOPQRSTUVWXY/", "abcdefghijklmnopqrstuvwxyz"} {
		dir := t.TempDir() + "/" + StateDir
		create(t, dir, "a")
		if err := os.WriteFile(dir+"/"+nodeName, []byte(`{"format":1,"mirror":"`+id+`","name":"a"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := Load(dir); err == nil {
			t.Errorf("id %q: %+v", id, n)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "my laptop", "Büro", strings.Repeat("x", 64)} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", " a", "a ", "a\nb", "a<b", "a>b", "\x1b[0m", "a\xff", strings.Repeat("x", 65)} {
		if err := CheckName(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
