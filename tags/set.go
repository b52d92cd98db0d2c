package tags

// Dot names the addition of one tag: the signed commit that made it.
type Dot struct {
	Writer string // "<key fingerprint>.<incarnation>", as in Smfs-Writer
	Seq    uint64 // the writer's commit, counted from 1
}

// Tag is one tag of a file, with the dots that keep it alive. A tag without
// dots does not exist. Dots are sorted by Writer, then Seq, and unique.
type Tag struct {
	Name string // "work", "projects/acme", or "year=2020"
	Dots []Dot
}

// Set is the tags of one file, sorted by Name, unique. The zero value is the
// empty set. Sets are values: no function changes its argument.
type Set []Tag
