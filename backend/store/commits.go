package store

import "github.com/silvermirror/smfs/backend/object"

// Commits calls fn for every smfs commit in the packs that can be read, in no
// order, perhaps more than once. It looks at every object.
func (s *Store) Commits(fn func(object.CommitID, *object.Commit)) {
	for _, p := range s.packs() {
		for i := range p.idx.count {
			e := p.idx.at(i)
			if kind, err := p.kind(e.off); err != nil || kind != object.TypeCommit {
				continue
			}
			if c, err := s.Commit(e.id); err == nil && !c.Foreign() {
				fn(e.id, c)
			}
		}
	}
}
