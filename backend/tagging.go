package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// Tag adds tags to paths, or takes them away: one commit a resource.
func (e *Engine) Tag(ctx context.Context, o TagOptions) error {
	if len(o.Paths) == 0 || len(o.Tags) == 0 {
		return fmt.Errorf("%w: give at least one path and one tag", ErrInvalid)
	}
	for _, t := range o.Tags {
		if err := tags.CheckName(t); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	byResource := map[*resource][]string{}
	var order []*resource
	for _, p := range o.Paths {
		r, path, err := e.resourceAt(p)
		if err != nil {
			return err
		}
		if path == "" {
			return fmt.Errorf("%w: the root of %s cannot be tagged", ErrInvalid, r.name)
		}
		if byResource[r] == nil {
			order = append(order, r)
		}
		byResource[r] = append(byResource[r], path)
	}
	for _, r := range order {
		if err := r.do(ctx, func() error { return r.tag(ctx, byResource[r], o.Tags, o.Remove) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *resource) tag(ctx context.Context, paths, names []string, remove bool) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	head, c := r.headNow()
	dot := tags.Dot{Writer: r.writer, Seq: 1}
	var root object.TreeID
	if c != nil {
		root = c.Tree
		if tip, ok := c.FullCover(head).Get(r.writer); ok {
			dot.Seq = tip.Seq + 1
		}
	}
	e := &edits{}
	found := map[string]bool{}
	for _, path := range paths {
		entry, err := findEntry(r.store, root, path)
		if err != nil {
			return err
		}
		if entry == nil {
			return WithHint(fmt.Errorf("%w: %q is not mirrored", ErrNotFound, path), "it may be ignored by the config, missing, or still open for writing")
		}
		for _, t := range entry.Tags.Names() {
			found[t] = true
		}
		if err := r.tagEntry(e, path, *entry, names, dot, remove); err != nil {
			return err
		}
	}
	verb := "tag"
	if remove {
		verb = "untag"
		for _, t := range names {
			if !found[t] {
				return WithHint(fmt.Errorf("%w: no file given has the tag %q", ErrNotFound, t), "nothing was changed; `smfs tags PATH` lists what a file has")
			}
		}
	}
	subject := fmt.Sprintf("%s %s: %s", verb, paths[0], strings.Join(names, ", "))
	if len(paths) > 1 {
		subject = fmt.Sprintf("%s %d files: %s", verb, len(paths), strings.Join(names, ", "))
	}
	_, err := r.commitEdits(ctx, e, byCommand("tag", subject))
	return err
}

// tagEntry sets the tags of a file at all its names.
func (r *resource) tagEntry(e *edits, path string, entry object.Entry, names []string, dot tags.Dot, remove bool) error {
	for _, name := range names {
		if remove {
			entry.Tags = entry.Tags.Without(name)
		} else if !entry.Tags.Has(name) {
			entry.Tags = entry.Tags.With(name, dot)
		}
	}
	places := []string{path}
	err := r.index.View(func(tx *index.Tx) error {
		for _, slot := range tx.Slots(entry.ID) {
			if p, err := tx.Path(slot); err == nil && p != path {
				places = append(places, p)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range places {
		e.put(p, entry)
	}
	return nil
}

// Tags lists the tags of the given paths, or all tags with their counts.
func (e *Engine) Tags(ctx context.Context, paths []string) ([]TagList, error) {
	if len(paths) == 0 {
		return e.allTags(), nil
	}
	var out []TagList
	for _, p := range paths {
		r, path, err := e.resourceAt(p)
		if err != nil {
			return nil, err
		}
		root, err := r.headTree()
		if err != nil {
			return nil, err
		}
		entry, err := findEntry(r.store, root, path)
		if err != nil {
			return nil, err
		}
		if entry == nil {
			return nil, fmt.Errorf("%w: %q is not mirrored", ErrNotFound, p)
		}
		out = append(out, TagList{Path: p, Tags: entry.Tags.Names()})
	}
	return out, nil
}

func (e *Engine) allTags() []TagList {
	counts := map[string]int{}
	for _, r := range e.resources {
		for _, c := range r.tagged.Counts() {
			counts[c.Name] += c.Files
		}
	}
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	out := make([]TagList, len(names))
	for i, name := range names {
		out[i] = TagList{Tags: []string{name}, Count: counts[name]}
	}
	return out
}

// TagNames lists the tags directly below a prefix ("" is the top), without it.
func (e *Engine) TagNames(prefix string) []string {
	seen := map[string]bool{}
	for _, r := range e.resources {
		for _, name := range r.tagged.Children(prefix) {
			seen[name] = true
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// TaggedFiles lists the files that a query matches, by resource and path. A tag
// that it wants and nothing has is ErrNotFound: it may be misspelt.
func (e *Engine) TaggedFiles(query string) ([]tags.Tagged, error) {
	q, err := tags.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, tag := range q.Wanted() {
		if !e.hasTag(tag) {
			return nil, fmt.Errorf("%w: nothing has the tag %q", ErrNotFound, tag)
		}
	}
	var out []tags.Tagged
	for _, r := range e.resources {
		err := r.index.View(func(tx *index.Tx) error {
			for _, f := range r.tagged.Match(q) {
				slots := tx.Slots(object.FileID(f))
				if len(slots) == 0 {
					continue
				}
				path, err := tx.Path(slots[0])
				if err != nil {
					continue
				}
				out = append(out, tags.Tagged{Resource: r.name, Path: path, ID: object.FileID(f).String()})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// throughTags is the path of the file that a path in the tag view stands for, or of
// what is in a tagged directory.
func (e *Engine) throughTags(path string) (string, error) {
	names := strings.Split(path, "/")
	for i := len(names) - 1; i > 0; i-- { // names of tags hold slashes
		query := strings.Join(names[:i], "/")
		files, err := e.TaggedFiles(query)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) {
			continue
		}
		if err != nil {
			return "", err
		}
		f, ok := tags.NewListing(e.TagNames(query), files).File(names[i])
		if r := e.resource(f.Resource); ok && r != nil {
			return strings.Trim(r.mirrorPath(f.Path)+"/"+strings.Join(names[i+1:], "/"), "/"), nil
		}
	}
	return "", WithHint(fmt.Errorf("%w: no tagged file is at @tags/%s", ErrNotFound, path), "`smfs tags` lists the tags")
}

func (e *Engine) hasTag(tag string) bool {
	return slices.ContainsFunc(e.resources, func(r *resource) bool { return r.tagged.Has(tag) })
}

// retag brings the tag index up to date with a node.
func (r *resource) retag(n index.Node) { r.tagged.Set(tags.File(n.ID), n.Tags.Names()) }

// untag takes a file whose name goes out of the tag index, unless it has others.
func (r *resource) untag(tx *index.Tx, n index.Node) {
	if len(n.Tags) > 0 && len(tx.Slots(n.ID)) < 2 {
		r.tagged.Remove(tags.File(n.ID))
	}
}

// dropTree takes a node and all below it out of the index, and what has no name
// any more out of the tag index.
func (r *resource) dropTree(tx *index.Tx, n index.Node) error {
	var tagged []object.FileID
	var collect func(n index.Node) error
	collect = func(n index.Node) error {
		if len(n.Tags) > 0 {
			tagged = append(tagged, n.ID)
		}
		if n.Kind != object.Dir {
			return nil
		}
		return tx.Children(n.ID, collect)
	}
	if r.tagged.Len() > 0 {
		if err := collect(n); err != nil {
			return err
		}
	}
	if _, err := tx.DeleteTree(n.Parent, n.Name); err != nil {
		return err
	}
	for _, id := range tagged {
		if len(tx.Slots(id)) == 0 {
			r.tagged.Remove(tags.File(id))
		}
	}
	return nil
}
