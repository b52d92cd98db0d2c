package fstest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
	"golang.org/x/sys/unix"
)

// repository reads a store by plain git: one `git cat-file --batch`. Chunks of a
// file are asked for at the same time.
type repository struct {
	cmd *exec.Cmd

	mu  sync.Mutex // from a question to the end of its answer
	in  io.WriteCloser
	out *bufio.Reader
}

func openRepository(dir string) (*repository, error) {
	r := &repository{cmd: exec.Command("git", "--git-dir="+dir, "cat-file", "--batch")}
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	return r, r.cmd.Start()
}

func (r *repository) close() error { return errors.Join(r.in.Close(), r.cmd.Wait()) }

// object reads one object by its name; kind is what it must be.
func (r *repository) object(name, kind string) (id string, data []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := fmt.Fprintln(r.in, name); err != nil {
		return "", nil, err
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("git cat-file %s: %w", name, err)
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[1] != kind {
		return "", nil, fmt.Errorf("git cat-file: %s is no %s: %q", name, kind, line)
	}
	size, err := strconv.Atoi(f[2])
	if err != nil {
		return "", nil, err
	}
	data = make([]byte, size+1) // a newline follows
	if _, err := io.ReadFull(r.out, data); err != nil {
		return "", nil, err
	}
	return f[0], data[:size], nil
}

func (r *repository) ReadTree(id object.TreeID, _ int64) ([]byte, error) {
	_, data, err := r.object(id.String(), "tree")
	return data, err
}

func (r *repository) ReadBlob(id object.BlobID, _ int64) ([]byte, error) {
	_, data, err := r.object(id.String(), "blob")
	return data, err
}

// inHead calls read with the store of a mirror's default resource and the tree
// of its head.
func inHead(m *Mirror, read func(r *repository, tree object.TreeID) error) (err error) {
	r, err := openRepository(m.Store())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	id, _, err := r.object("refs/heads/main^{tree}", "tree")
	if err != nil {
		return err
	}
	tree, err := object.ParseTreeID(id)
	if err != nil {
		return err
	}
	return read(r, tree)
}

// committed describes the head's tree, as Shown does what is on disk.
func committed(m *Mirror) (Listing, error) {
	out := Listing{}
	return out, inHead(m, func(r *repository, tree object.TreeID) error {
		return r.list(tree, "", out, map[object.FileID]string{})
	})
}

func (r *repository) list(id object.TreeID, at string, out Listing, first map[object.FileID]string) error {
	dir, err := object.DecodeDirectory(r, id)
	if err != nil {
		return fmt.Errorf("directory %q: %w", at, err)
	}
	for _, e := range dir.Entries {
		p := path.Join(at, e.Name)
		if _, ok := first[e.ID]; !ok {
			first[e.ID] = p
		}
		if out[p], err = r.describe(e, first[e.ID]); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
		if e.Kind == object.Dir {
			if err := r.list(e.Tree, p, out, first); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *repository) describe(e object.Entry, first string) (string, error) {
	xattrs := map[string]string{}
	for _, x := range e.Xattrs {
		xattrs[x.Name] = x.Value
	}
	mode, times := uint32(unix.S_IFDIR), ""
	var data []byte
	if e.Kind != object.Dir {
		var err error
		if data, err = r.content(&e); err != nil {
			return "", err
		}
		mode, times = unix.S_IFREG, fmt.Sprintf(" at %d", e.Mtime)
	}
	if e.Kind == object.Symlink {
		mode = unix.S_IFLNK
	}
	return Describe(mode|e.Mode, data, xattrs, first) + times, nil
}

// content reads what a file or link holds.
func (r *repository) content(e *object.Entry) ([]byte, error) {
	if e.Chunks.IsZero() {
		return r.ReadBlob(e.Blob, 0)
	}
	large, err := chunk.NewReader(r, e.Chunks)
	if err != nil {
		return nil, err
	}
	defer large.Close()
	return io.ReadAll(large)
}

// Own tells whether a name in a mirror's root belongs to smfs.
func Own(rel string) bool {
	switch rel {
	case ".silvermirror", ".smfs", "@tags", "@history":
		return true
	}
	return false
}

// SameAsHead fails unless the head holds exactly what is on disk: names,
// contents, modes, links, attributes, times. skip names what is not mirrored.
func SameAsHead(m *Mirror, skip func(rel string) bool) error {
	disk, err := Shown(m.Dir, true, func(rel string) bool { return Own(rel) || skip != nil && skip(rel) })
	if err != nil {
		return err
	}
	head, err := committed(m)
	if err != nil {
		return err
	}
	if d := Differences(disk, head); d != "" {
		return fmt.Errorf("on disk (-) and in the head (+):\n%s", d)
	}
	return nil
}

// Fsck runs git's own check of the store.
func Fsck(m *Mirror) error {
	out, err := exec.Command("git", "--git-dir="+m.Store(), "fsck", "--strict", "--no-dangling").CombinedOutput()
	if out = bytes.TrimSpace(out); err != nil || len(out) > 0 {
		return fmt.Errorf("git fsck: %v\n%s", err, out)
	}
	return nil
}

// FileIDs are the identities in the head, by path.
func FileIDs(t testing.TB, m *Mirror) map[string]object.FileID {
	t.Helper()
	out := map[string]object.FileID{}
	err := inHead(m, func(r *repository, tree object.TreeID) error { return r.identities(tree, "", out) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *repository) identities(id object.TreeID, at string, out map[string]object.FileID) error {
	dir, err := object.DecodeDirectory(r, id)
	if err != nil {
		return err
	}
	for _, e := range dir.Entries {
		out[path.Join(at, e.Name)] = e.ID
		if e.Kind == object.Dir {
			if err := r.identities(e.Tree, path.Join(at, e.Name), out); err != nil {
				return err
			}
		}
	}
	return nil
}
