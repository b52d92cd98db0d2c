package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// Every name that git or a host could take exception to, as a file, a
// directory and a link: the store must be clean to the strictest checks and
// give all names back.
func TestTrickyNames(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	names := hostileNames()
	b, err := s.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	root := &object.Directory{}
	for _, kind := range []object.Kind{object.File, object.Dir, object.Symlink} {
		d, err := b.PutDirectory(directoryOf(t, b, names, kind))
		if err != nil {
			t.Fatal(err)
		}
		root.Entries = append(root.Entries, object.Entry{Name: fmt.Sprint(kind), Kind: object.Dir, ID: object.FileID{byte(kind)}, Tree: d, Mode: 0o755})
	}
	root.Entries = append(root.Entries, directoryOf(t, b, names, object.File).Entries...)
	slices.SortFunc(root.Entries, func(a, b object.Entry) int { return strings.Compare(a.Name, b.Name) })
	tree, err := b.PutDirectory(root)
	if err != nil {
		t.Fatal(err)
	}
	c := &object.Commit{Tree: tree, Author: "a", Email: "b", Message: "names", Writer: w.name, Seq: 1, Gen: 1}
	if err := object.Sign(c, w.key); err != nil {
		t.Fatal(err)
	}
	id, err := b.PutCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(RefUpdate{HeadRef, object.CommitID{}, id}); err != nil {
		t.Fatal(err)
	}
	wantGitClean(t, s)
	wantSound(t, s)
	pushToStrictHost(t, s)
	d, err := reopen(t, s).Directory(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, ok := d.Lookup(name); !ok {
			t.Errorf("name %q is lost", name)
		}
	}
}

func hostileNames() []string {
	names := []string{"a\\.git", "\\.git", "x\\git~1", "new\nline", "tab\t", "\x01", "\xff", "...", "..a", "%2e", "%zz", "a:b", "-x", "@", ".smfs", ".gitattributes", strings.Repeat("x", 255)}
	for _, stem := range []string{".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap", "git~1", "gitmod~1", "gitatt~2", "gitign~3", "mailma~4", "gi7eba~1", "gi7d29~1", "gi250a~9", "maba30~1", "gi7~1234", "~1234567"} {
		names = append(names, stem, strings.ToUpper(stem), stem+".", stem+" .", stem+":x", stem+" . :x", "\u200c"+stem, stem[:2]+"\u206f"+stem[2:], stem+"\ufeff", stem+"\xff", stem+"\\x", "y\\"+stem, stem+"x", stem+"\uffff")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func directoryOf(t *testing.T, b *Batch, names []string, kind object.Kind) *object.Directory {
	t.Helper()
	empty, err := b.PutDirectory(&object.Directory{})
	if err != nil {
		t.Fatal(err)
	}
	// As .gitmodules or .gitattributes this content would be an error to git.
	blob, err := b.WriteBlob([]byte("[submodule \"../x\"]\n\turl = -x\n" + strings.Repeat("y", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	d := &object.Directory{}
	for i, name := range names {
		e := object.Entry{Name: name, Kind: kind, ID: object.FileID{byte(i), byte(i >> 8), byte(kind), 1}}
		switch kind {
		case object.Dir:
			e.Tree, e.Mode = empty, 0o755
		case object.File:
			e.Blob, e.Mode = blob, 0o644
		default:
			e.Blob = blob
		}
		d.Entries = append(d.Entries, e)
	}
	return d
}

// pushToStrictHost pushes to a bare repository that checks what it gets.
func pushToStrictHost(t *testing.T, s *Store) {
	t.Helper()
	host := filepath.Join(t.TempDir(), "host.git")
	for _, args := range [][]string{{"init", "--quiet", "--bare", host}, {"--git-dir=" + host, "config", "receive.fsckObjects", "true"}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	out := git(t, s, "push", "--quiet", "file://"+host, "main")
	if strings.Contains(out, "warning") || strings.Contains(out, "error") {
		t.Errorf("git push to a strict host says:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(host, "refs/heads/main")); err != nil {
		t.Error(err)
	}
}
