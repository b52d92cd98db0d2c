package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/fstest"
)

// steadyEnough is less than the time after which a file that stays open is
// committed as it is: a change that takes longer shows what is in between.
const steadyEnough = time.Second

// states are the contents, by their blob ids, that files have had while no writer
// had them open. Nothing else may be committed.
type states map[string]bool

func (s states) add(data []byte) { s[blobID(data)] = true }

// complete adds the contents of a record.
func (s states) complete(root *inode) {
	for _, p := range places(root, "", anything) {
		n := p.node
		if n.data == nil || !identical(n.data, n.noted) {
			s.add(n.data)
			n.noted = n.data
		}
	}
}

// identical tells whether two slices are one.
func identical(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func blobID(data []byte) string {
	content, err := chunk.Hash(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(err) // the reader cannot fail
	}
	return content.Blob.String()
}

// blob is one file of one commit.
type blob struct {
	commit, path, id string
}

// blobsSince lists the files that the commits after one have brought, all there
// are for "". Their names are as git has them.
func blobsSince(m *fstest.Mirror, commit string) ([]blob, error) {
	args := []string{"--git-dir=" + m.Store(), "log", "--raw", "-z", "--root", "-m", "--no-renames", "--no-abbrev", "--format=commit %H", "main"}
	if commit != "" {
		args = append(args, "^"+commit)
	}
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("git log: %w", err)
	}
	var list []blob
	fields := strings.Split(string(out), "\x00")
	for i := 0; i < len(fields); i++ {
		if id, ok := strings.CutPrefix(fields[i], "commit "); ok {
			commit = id
			continue
		}
		// ":oldmode newmode oldid newid status", then the path
		f := strings.Fields(fields[i])
		if len(f) != 5 || i+1 == len(fields) {
			continue
		}
		i++
		if path := fields[i]; strings.HasPrefix(f[1], "100") && !strings.Contains("/"+path, "/.smfs/") {
			list = append(list, blob{commit, path, f[3]})
		}
	}
	return list, nil
}

// wholeCommits fails if a commit since the last call has a file as no writer has
// left it.
func (a *assault) wholeCommits() error {
	known := map[string]states{}
	for _, w := range a.writers {
		known[w.name] = w.states
	}
	if !a.held.slow {
		known["held"] = a.held.states
	}
	list, err := blobsSince(a.Mirror, a.checked)
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range list {
		dir, _, _ := strings.Cut(b.path, "/")
		if s := known[dir]; s != nil && !s[b.id] {
			errs = append(errs, fmt.Errorf("commit %s has %q half-written, blob %s", b.commit, b.path, b.id))
		}
	}
	a.blobs += len(list)
	a.checked = a.Head()
	return errors.Join(errs...)
}
