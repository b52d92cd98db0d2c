package store

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"

	"github.com/silvermirror/smfs/backend/object"
)

func openGoGit(t *testing.T, s *Store) *gogit.Repository {
	t.Helper()
	repo, err := gogit.PlainOpen(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// Every commit and file of a store is there for go-git, before packs are
// merged and after.
func TestGoGitReadsStore(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	want := map[object.CommitID]map[string]string{}
	for i := range 12 {
		w.files["docs/report.txt"] = fmt.Sprintf("version %d", i)
		w.files[fmt.Sprintf("photos/2026/%d.jpg", i)] = string(randomBytes(uint64(i), 90_000*i))
		w.files["a/b/c/d/e"] = strings.Repeat("deep ", i)
		w.files["link"] = "-> docs/report.txt"
		delete(w.files, fmt.Sprintf("photos/2026/%d.jpg", i-5))
		files := map[string]string{}
		for name, content := range w.files {
			files[name] = strings.TrimPrefix(content, "-> ")
		}
		want[w.commit()] = files
	}
	wantGoGitReads(t, s, want)
	if err := s.Consolidate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantGoGitReads(t, s, want)
}

func wantGoGitReads(t *testing.T, s *Store, want map[object.CommitID]map[string]string) {
	t.Helper()
	repo := openGoGit(t, s)
	head, err := repo.Head()
	if err != nil || head.Name() != HeadRef || head.Hash() != plumbing.Hash(s.Head()) {
		t.Fatalf("head is %v, %v; want %s", head, err, s.Head())
	}
	log, err := repo.Log(&gogit.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = log.ForEach(func(c *gitobject.Commit) error {
		seen++
		return compareCommit(c, want[object.CommitID(c.Hash)])
	})
	if err != nil || seen != len(want) {
		t.Errorf("%d commits, %v; want %d", seen, err, len(want))
	}
}

// compareCommit compares all files of a commit but the metadata.
func compareCommit(c *gitobject.Commit, want map[string]string) error {
	files, err := c.Files()
	if err != nil {
		return err
	}
	left := len(want)
	err = files.ForEach(func(f *gitobject.File) error {
		got, err := f.Contents()
		if err != nil {
			return fmt.Errorf("%s of %s: %w", f.Name, c.Hash, err)
		}
		content, ok := want[f.Name]
		if ok {
			left--
		}
		if got != content && !strings.Contains("/"+f.Name, "/.smfs/") {
			return fmt.Errorf("%s of %s is %.40q, want %.40q", f.Name, c.Hash, got, content)
		}
		return nil
	})
	if err == nil && left != 0 {
		err = fmt.Errorf("%d files of %s are missing", left, c.Hash)
	}
	return err
}

// What go-git writes, loose and in packs, with its refs, is the store's too.
func TestStoreReadsGoGit(t *testing.T) {
	s := newTestStore(t)
	repo := openGoGit(t, s)
	text := bytes.Repeat([]byte("written by go-git\n"), 10_000)
	blob := goGitObject(t, repo, plumbing.BlobObject, text)
	empty := goGitObject(t, repo, plumbing.BlobObject, nil)
	tree := goGitEncode(t, repo, &gitobject.Tree{Entries: []gitobject.TreeEntry{{Name: "empty", Mode: filemode.Regular, Hash: empty}, {Name: "text", Mode: filemode.Regular, Hash: blob}}})
	id := goGitEncode(t, repo, &gitobject.Commit{Message: "by go-git", TreeHash: tree})
	if err := repo.Storer.SetReference(plumbing.NewHashReference(HeadRef, id)); err != nil {
		t.Fatal(err)
	}
	check := func(s *Store) {
		t.Helper()
		c, err := s.Commit(object.CommitID(id))
		if err != nil || !c.Foreign() || c.Tree != object.TreeID(tree) || s.Head() != object.CommitID(id) {
			t.Fatalf("head is %s, commit %+v, %v", s.Head(), c, err)
		}
		for id, want := range map[plumbing.Hash][]byte{blob: text, empty: nil} {
			if got, err := s.ReadBlob(object.BlobID(id), 1<<20); err != nil || !bytes.Equal(got, want) {
				t.Errorf("blob is %.40q, %v", got, err)
			}
		}
		wantSound(t, s)
	}
	s = reopen(t, s)
	check(s)
	if err := repo.RepackObjects(&gogit.RepackConfig{}); err != nil {
		t.Fatal(err)
	}
	if err := repo.Storer.(interface{ PackRefs() error }).PackRefs(); err != nil {
		t.Fatal(err)
	}
	if s = reopen(t, s); s.PackCount() != 1 {
		t.Errorf("%d packs, want the one of go-git", s.PackCount())
	}
	check(s)
	head := newWriter(t, s, 1)
	head.head = s.Head()
	head.files["text"] = "and ours on top"
	wantFiles(t, s, head.commit(), head.files)
	wantGitClean(t, s)
}

func goGitObject(t *testing.T, repo *gogit.Repository, kind plumbing.ObjectType, data []byte) plumbing.Hash {
	t.Helper()
	o := repo.Storer.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err == nil {
		_, err = io.Copy(w, bytes.NewReader(data))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return goGitStore(t, repo, o)
}

func goGitEncode(t *testing.T, repo *gogit.Repository, v interface {
	Encode(plumbing.EncodedObject) error
}) plumbing.Hash {
	t.Helper()
	o := repo.Storer.NewEncodedObject()
	if err := v.Encode(o); err != nil {
		t.Fatal(err)
	}
	return goGitStore(t, repo, o)
}

func goGitStore(t *testing.T, repo *gogit.Repository, o plumbing.EncodedObject) plumbing.Hash {
	t.Helper()
	id, err := repo.Storer.SetEncodedObject(o)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
