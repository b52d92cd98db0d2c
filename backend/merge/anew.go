package merge

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// Anew makes the commit that records anew what ours holds beyond theirs, where
// a fork keeps the two from being merged: on top of the newest commits that
// both hold it has the tree of ours. It is the first commit of the writer as,
// to be merged with theirs; the tags that the commits it stands for had set
// come from it. Author and time are the caller's to set, and to sign and write
// it. All of both must be here but the content of files.
func Anew(s Store, ours, theirs object.CommitID, as object.Writer) (*object.Commit, error) {
	o, err := s.Commit(ours)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", ours, err)
	}
	t, err := s.Commit(theirs)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", theirs, err)
	}
	common, err := object.NewLineage(s.Commit).Common(o.FullCover(ours), t.FullCover(theirs))
	if err != nil {
		return nil, fmt.Errorf("find what %s and %s share: %w", ours, theirs, err)
	}
	split, err := splitOff(s, ours, common)
	if err != nil {
		return nil, fmt.Errorf("find what is private of %s: %w", ours, err)
	}
	c := &object.Commit{Message: split.message(), Writer: as, Seq: 1, Gen: 1}
	var base object.TreeID
	for i, p := range split.parents {
		c.Parents = append(c.Parents, p.id)
		c.Gen = max(c.Gen, p.Gen+1)
		if c.Cover, err = c.Cover.Union(p.FullCover(p.id)); err != nil {
			return nil, err
		}
		if i == 0 {
			base = p.Tree
		}
	}
	d := redotter{s, c.Cover, tags.Dot{Writer: as, Seq: 1}}
	c.Tree, err = d.tree(o.Tree, base)
	return c, err
}

// private is what one head holds and another does not.
type private struct {
	parents []found          // the newest commits that both hold
	commits []*object.Commit // private ones of users
}

type found struct {
	*object.Commit
	id object.CommitID
}

// splitOff walks from a head down to the commits within common.
func splitOff(g Graph, head object.CommitID, common object.Cover) (private, error) {
	var out private
	seen := map[object.CommitID]bool{}
	for work := []object.CommitID{head}; len(work) > 0; {
		id := work[0]
		if work = work[1:]; seen[id] {
			continue
		}
		seen[id] = true
		c, err := g.Commit(id)
		if err != nil {
			return out, err
		}
		if common.HasAll(c.FullCover(id)) {
			out.parents = append(out.parents, found{c, id})
			continue
		}
		if c.Writer != "" {
			out.commits = append(out.commits, c)
		}
		work = append(work, c.Parents...)
	}
	out.parents = newest(out.parents)
	return out, nil
}

// newest leaves out what others cover, and, where a commit can have no more
// parents, the oldest.
func newest(list []found) (out []found) {
	slices.SortFunc(list, func(a, b found) int { return cmp.Or(cmp.Compare(b.Gen, a.Gen), bytes.Compare(a.id[:], b.id[:])) })
	for _, c := range list {
		cover := c.FullCover(c.id)
		if !slices.ContainsFunc(out, func(o found) bool { return o.FullCover(o.id).HasAll(cover) }) {
			out = append(out, c)
		}
	}
	return out[:min(len(out), object.MaxParents)]
}

// RecordedAnew begins the message of a commit that stands for others.
const RecordedAnew = "recorded anew: "

// message tells what is recorded anew.
func (p private) message() string {
	subjects := make([]string, len(p.commits))
	for i, c := range p.commits {
		subjects[i], _, _ = strings.Cut(c.Message, "\n")
	}
	if len(subjects) == 1 {
		return object.CleanMessage(RecordedAnew + subjects[0])
	}
	return object.CleanMessage(fmt.Sprintf(RecordedAnew+"%d commits\n\n%s", len(subjects), strings.Join(subjects, "\n")))
}

// redotter makes tags come from a new commit where the one that made them is
// not covered.
type redotter struct {
	trees Trees
	cover object.Cover
	dot   tags.Dot
}

// tree rewrites a directory; what it shares with base is covered.
func (d *redotter) tree(id, base object.TreeID) (object.TreeID, error) {
	if id == base {
		return id, nil
	}
	dir, err := readDirectory(d.trees, id)
	if err != nil {
		return id, err
	}
	was, err := readDirectory(d.trees, base)
	if err != nil {
		return id, err
	}
	out := &object.Directory{Entries: slices.Clone(dir.Entries), Options: dir.Options}
	for i := range out.Entries {
		e := &out.Entries[i]
		e.Tags = d.set(e.Tags)
		if e.Kind != object.Dir {
			continue
		}
		var old object.TreeID
		if at, ok := slices.BinarySearchFunc(was.Entries, e.Name, func(o object.Entry, name string) int { return strings.Compare(o.Name, name) }); ok {
			old = was.Entries[at].Tree
		}
		if e.Tree, err = d.tree(e.Tree, old); err != nil {
			return id, err
		}
	}
	return d.trees.PutDirectory(out)
}

func (d *redotter) set(s tags.Set) tags.Set {
	out := s
	for _, t := range s {
		if slices.ContainsFunc(t.Dots, func(dot tags.Dot) bool { return !d.cover.Has(dot.Writer, dot.Seq) }) {
			out = out.With(t.Name, d.dot)
		}
	}
	return out
}
