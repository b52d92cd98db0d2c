package tags

import (
	"cmp"
	"slices"
)

// matches is a set of files by number, sorted: those in files, or, if all but
// them are meant, the complement. So "not" costs nothing until the end.
// The slices belong to the index and are never changed through a matches.
type matches struct {
	files  []uint32
	allBut bool
}

func (m matches) complement() matches { return matches{files: m.files, allBut: !m.allBut} }

// intersectAll starts from the shortest list, which bounds the work.
func intersectAll(terms []matches) matches {
	slices.SortStableFunc(terms, func(a, b matches) int {
		if a.allBut != b.allBut {
			if a.allBut {
				return 1
			}
			return -1
		}
		return cmp.Compare(len(a.files), len(b.files))
	})
	out := terms[0]
	for _, t := range terms[1:] {
		switch {
		case out.allBut: // and so is t, by the order above
			out.files = unite(out.files, t.files)
		default:
			out.files = filter(out.files, t.files, !t.allBut)
		}
	}
	return out
}

// filter returns those of a that are in b, or, if not want, those that are not.
// It gallops through b: the cost is near len(a) * log(len(b)/len(a)).
func filter(a, b []uint32, want bool) []uint32 {
	out := make([]uint32, 0, len(a))
	for _, f := range a {
		b = b[gallop(b, f):]
		if found := len(b) > 0 && b[0] == f; found == want {
			out = append(out, f)
		}
	}
	return out
}

// gallop returns the position of the first element of b that is not below f,
// looking near the front first.
func gallop(b []uint32, f uint32) int {
	high := 1
	for high < len(b) && b[high-1] < f {
		high *= 2
	}
	low := high / 2
	i, _ := slices.BinarySearch(b[low:min(high, len(b))], f)
	return low + i
}

func unite(a, b []uint32) []uint32 {
	out := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// insert puts f into the sorted list, in place where there is room. Numbers are
// given out in ascending order, so this is an append as a rule.
func insert(list []uint32, f uint32) []uint32 {
	if n := len(list); n == 0 || list[n-1] < f {
		return append(list, f)
	}
	i, found := slices.BinarySearch(list, f)
	if found {
		return list
	}
	return slices.Insert(list, i, f)
}

// remove takes f out of the sorted list, in place.
func remove(list []uint32, f uint32) []uint32 {
	i, found := slices.BinarySearch(list, f)
	if !found {
		return list
	}
	return slices.Delete(list, i, i+1)
}
