package tags

import (
	"slices"
	"strings"
)

// number gives f a number. x.mu is held for writing, as in all below.
func (x *Index) number(f File) uint32 {
	var number uint32
	if last := len(x.free) - 1; last >= 0 {
		number, x.free = x.free[last], x.free[:last]
		x.files[number].id = f
	} else {
		number = uint32(len(x.files))
		x.files = append(x.files, indexed{id: f})
	}
	x.numbers[f] = number
	return number
}

// retag makes names, sorted and unique, the tags of the file.
func (x *Index) retag(number uint32, names []string) {
	old := x.files[number].own
	before := map[string]bool{} // the tags that list the file; true once they are wanted again
	for _, t := range old {
		t.own--
		for name := range upwards(t.name) {
			before[name] = false
		}
	}
	own := make([]*tag, len(names))
	for i, name := range names {
		for up := range upwards(name) {
			if _, listed := before[up]; !listed {
				t := x.grow(up)
				t.files = insert(t.files, number)
			}
			before[up] = true
		}
		own[i] = x.tags[name]
		own[i].own++
	}
	x.files[number].own = own
	for name, wanted := range before {
		if !wanted {
			t := x.tags[name]
			t.files = remove(t.files, number)
			x.prune(t)
		}
	}
}

// grow returns the tag of that name, made if need be.
func (x *Index) grow(name string) *tag {
	if t := x.tags[name]; t != nil {
		return t
	}
	name = strings.Clone(name) // not a piece of a caller's larger string
	t := &tag{name: name}
	x.tags[name] = t
	above, label := split(name)
	parent := x.grow(above)
	if parent.children == nil {
		parent.children = map[string]struct{}{}
	}
	parent.children[label] = struct{}{}
	return t
}

// prune drops the tag if no file is below it. Its parents are judged by the
// caller, each for itself.
func (x *Index) prune(t *tag) {
	if len(t.files) > 0 {
		if cap(t.files) > 64 && len(t.files) < cap(t.files)/4 {
			t.files = slices.Clip(slices.Clone(t.files))
		}
		return
	}
	delete(x.tags, t.name)
	above, label := split(t.name)
	if parent := x.tags[above]; parent != nil {
		delete(parent.children, label)
	}
}

// upwards yields name and what is above it, without the empty root.
func upwards(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name != "" && yield(name) {
			name, _ = split(name)
		}
	}
}

// split cuts off the last part of a name.
func split(name string) (above, label string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}
