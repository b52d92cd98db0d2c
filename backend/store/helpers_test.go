package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// writer makes commits of files given by their paths.
type writer struct {
	t     testing.TB
	s     *Store
	key   ssh.Signer
	name  object.Writer
	seq   uint64
	ids   map[string]object.FileID
	files map[string]string // path -> content; a path ending in "/" is an empty directory
	head  object.CommitID
}

func newWriter(t testing.TB, s *Store, n byte) *writer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return &writer{t: t, s: s, key: signer, name: object.Fingerprint(signer.PublicKey()) + ".1", ids: map[string]object.FileID{}, files: map[string]string{}}
}

func (w *writer) id(name string) object.FileID {
	if _, ok := w.ids[name]; !ok {
		sum := object.Hash(object.TypeBlob, []byte(w.name+name))
		w.ids[name] = object.FileID(sum[:16])
	}
	return w.ids[name]
}

// put writes the files into b and returns the root.
func (w *writer) put(b *Batch) (object.TreeID, error) { return w.dir(b, "") }

func (w *writer) dir(b *Batch, dir string) (object.TreeID, error) {
	d := &object.Directory{}
	seen := map[string]bool{}
	for name, content := range w.files {
		rel, ok := strings.CutPrefix(name, dir)
		if !ok || rel == "" {
			continue
		}
		first, _, below := strings.Cut(rel, "/")
		if seen[first] {
			continue
		}
		seen[first] = true
		e := object.Entry{Name: first, ID: w.id(path.Join(dir, first)), Kind: object.File, Mode: 0o644, Mtime: 1_700_000_000_123_456_789}
		var err error
		switch target, link := strings.CutPrefix(content, "-> "); {
		case below:
			e.Kind, e.Mode, e.Mtime = object.Dir, 0o755, 0
			e.Tree, err = w.dir(b, dir+first+"/")
		case link:
			e.Kind, e.Mode = object.Symlink, 0
			e.Blob, err = b.WriteBlob([]byte(target))
		default:
			var c chunk.Content
			c, err = b.PutFile(strings.NewReader(content), int64(len(content)), object.TreeID{})
			e.Blob, e.Chunks = c.Blob, c.List
		}
		if err != nil {
			return object.TreeID{}, err
		}
		d.Entries = append(d.Entries, e)
	}
	slices.SortFunc(d.Entries, func(a, b object.Entry) int { return strings.Compare(a.Name, b.Name) })
	return b.PutDirectory(d)
}

// try commits the files on top of parents (the head where none is given).
func (w *writer) try(parents ...object.CommitID) error {
	b, err := w.s.NewBatch()
	if err != nil {
		return err
	}
	defer b.Discard()
	tree, err := w.put(b)
	if err != nil {
		return err
	}
	if len(parents) == 0 && !w.head.IsZero() {
		parents = []object.CommitID{w.head}
	}
	c := &object.Commit{Tree: tree, Parents: parents, Author: "laptop", Email: "k@smfs", Time: 1_700_000_000 + int64(w.seq), Message: fmt.Sprintf("change %d", w.seq+1), Writer: w.name, Seq: w.seq + 1}
	for _, p := range parents {
		parent, err := b.ReadCommit(p)
		if err != nil {
			return err
		}
		c.Gen = max(c.Gen, parent.Gen)
		if c.Cover, err = c.Cover.Union(parent.FullCover(p)); err != nil {
			return err
		}
	}
	c.Gen++
	if err := object.Sign(c, w.key); err != nil {
		return err
	}
	id, err := b.PutCommit(c)
	if err != nil {
		return err
	}
	if err := b.Commit(RefUpdate{HeadRef, w.s.Head(), id}); err != nil {
		return err
	}
	w.seq++
	w.head = id
	return nil
}

func (w *writer) commit(parents ...object.CommitID) object.CommitID {
	w.t.Helper()
	if err := w.try(parents...); err != nil {
		w.t.Fatal(err)
	}
	return w.head
}

func newTestStore(t testing.TB) *Store {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "x.git"), Meta{ResourceIDs: []string{"r1"}, Incarnation: "1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// git runs git on the store and fails on any error.
func git(t testing.TB, s *Store, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"--git-dir=" + s.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+t.TempDir(), "LC_ALL=C", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wantGitClean fails unless git finds nothing to say about the store.
func wantGitClean(t testing.TB, s *Store) {
	t.Helper()
	for line := range strings.Lines(git(t, s, "fsck", "--strict", "--full", "--no-dangling", "--no-progress")) {
		if !strings.HasPrefix(line, "notice: ") { // of a repository without commits
			t.Errorf("git fsck says: %s", line)
		}
	}
}

func problems(t testing.TB, s *Store) []string {
	t.Helper()
	var all []string
	if err := s.Check(context.Background(), func(f Fault) { all = append(all, f.Text) }, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return all
}

func wantSound(t testing.TB, s *Store) {
	t.Helper()
	for _, p := range problems(t, s) {
		t.Errorf("check: %s", p)
	}
}

// content reads a file of a commit by its path.
func content(s *Store, id object.CommitID, name string) (string, error) {
	c, err := s.Commit(id)
	if err != nil {
		return "", err
	}
	tree := c.Tree
	for {
		d, err := s.Directory(tree)
		if err != nil {
			return "", err
		}
		first, rest, more := strings.Cut(name, "/")
		e, ok := d.Lookup(first)
		if !ok {
			return "", os.ErrNotExist
		}
		if !more {
			r, _, err := s.OpenFile(chunk.Of(e))
			if err != nil {
				return "", err
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			return string(b), err
		}
		name, tree = rest, e.Tree
	}
}

func wantFiles(t testing.TB, s *Store, id object.CommitID, files map[string]string) {
	t.Helper()
	for name, want := range files {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if got, err := content(s, id, name); err != nil || got != strings.TrimPrefix(want, "-> ") {
			t.Errorf("%s is %.40q, %v; want %.40q", name, got, err, want)
		}
	}
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	c.Read(b)
	return b
}
