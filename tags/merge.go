package tags

import "strings"

// Merge unites the sets that two sides hold for one file. aHas and bHas report
// whether the commit each set was taken from has seen the commit that made a
// dot: its own commit, or one in its cover.
//
// A dot stays if both sides hold it, or if one holds it and the other has not
// seen it. A dot that one side has seen and no longer holds was removed there.
// So no base is needed, the order of merges does not matter, an addition wins
// over a concurrent removal, and a removal that has seen the addition is final.
func Merge(a, b Set, aHas, bHas func(Dot) bool) Set {
	var out Set
	keep := func(name string, x, y []Dot) {
		if dots := mergeDots(x, y, aHas, bHas); len(dots) > 0 {
			out = append(out, Tag{Name: name, Dots: dots})
		}
	}
	for len(a) > 0 || len(b) > 0 {
		switch order := compareHeads(a, b); {
		case order < 0:
			keep(a[0].Name, a[0].Dots, nil)
			a = a[1:]
		case order > 0:
			keep(b[0].Name, nil, b[0].Dots)
			b = b[1:]
		default:
			keep(a[0].Name, a[0].Dots, b[0].Dots)
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// compareHeads says which set's first name comes first; an exhausted one comes
// last.
func compareHeads(a, b Set) int {
	switch {
	case len(b) == 0:
		return -1
	case len(a) == 0:
		return 1
	}
	return strings.Compare(a[0].Name, b[0].Name)
}

func mergeDots(a, b []Dot, aHas, bHas func(Dot) bool) []Dot {
	var out []Dot
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Compare(b[0]) < 0:
			if !bHas(a[0]) {
				out = append(out, a[0])
			}
			a = a[1:]
		case len(a) == 0 || a[0].Compare(b[0]) > 0:
			if !aHas(b[0]) {
				out = append(out, b[0])
			}
			b = b[1:]
		default:
			out = append(out, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return out
}
