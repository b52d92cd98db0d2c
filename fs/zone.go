package fs

import (
	"strings"
	"time"

	"github.com/silvermirror/smfs/fs/tree"
)

// forever is how long the kernel keeps what only this mount can change.
const forever = 100 * 365 * 24 * time.Hour

// beside is how long the kernel keeps what others may change beside the mount.
const beside = time.Second

// zone is a part of the tree with rules of its own. It is immutable.
type zone struct {
	res      *resource // nil: not journaled
	ttl      time.Duration
	fixed    bool                   // names can be neither made nor removed
	readonly bool                   // nothing can be changed
	shows    func(name string) bool // what its root shows; nil: everything
}

// resource is a journaled part of the tree.
type resource struct {
	name     string
	order    int // among the resources: the lock order of their trees
	tree     *tree.Tree
	external bool
}

// place is a point of the tree that is known before anybody looks: the root of
// a zone, or a directory above one. Places can be neither removed nor renamed.
type place struct {
	zone  *zone // nil: only a directory on the way to one
	below map[string]*place
}

func (p *place) child(name string) *place {
	if p == nil {
		return nil
	}
	return p.below[name]
}

// add makes the places along path and puts the zone at its end.
func (p *place) add(path string, z *zone) {
	if path != "" {
		for name := range strings.SplitSeq(path, "/") {
			next := p.below[name]
			if next == nil {
				next = &place{}
				if p.below == nil {
					p.below = make(map[string]*place)
				}
				p.below[name] = next
			}
			p = next
		}
	}
	p.zone = z
}

// external reports the resource that is reached here through its own root.
func (p *place) external() *resource {
	if p == nil || p.zone == nil || p.zone.res == nil || !p.zone.res.external {
		return nil
	}
	return p.zone.res
}

// newPlaces lays out the tree: the resources, and the state directory with the
// three things in it that the mount shows.
func newPlaces(o Options) *place {
	root := &place{zone: &zone{ttl: forever}}
	for i, r := range o.Resources {
		ttl := forever
		if r.External {
			ttl = beside
		}
		root.add(r.Path, &zone{
			res: &resource{name: r.Name, order: i, tree: r.Tree, external: r.External},
			ttl: ttl,
		})
	}
	root.add(o.StateDir, &zone{fixed: true, shows: showsState})
	root.add(o.StateDir+"/"+storeName, &zone{fixed: true, readonly: true})
	return root
}

// foreignZone is a mount point below the base: passed through, never journaled.
func foreignZone() *zone { return &zone{ttl: beside} }
