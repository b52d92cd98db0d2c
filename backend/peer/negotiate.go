package peer

import (
	"slices"
)

// Outcome is what two sides do so that a resource is shared.
type Outcome int

const (
	Shared     Outcome = iota // an id is shared already: nothing to do
	AdoptPeers                // this side takes the peer's id as its current one
	PeerAdopts                // the peer takes this side's
	Refused                   // both hold files and share no id
)

// Identity is what Negotiate needs of a resource.
type Identity struct {
	IDs   []string // the current one first
	Empty bool
}

// Negotiate decides how two sides come to share a resource. It is symmetric:
// with the arguments exchanged it gives the complementary outcome. An empty
// resource adopts its peer's id; of two empty ones, and of two filled ones that
// are to be united, the lower id is kept. Whoever adopts remembers its old ids.
func Negotiate(ours, theirs Identity, unite bool) Outcome {
	switch {
	case sharesID(ours.IDs, theirs.IDs):
		return Shared
	case len(ours.IDs) == 0 || len(theirs.IDs) == 0:
		return Refused
	case ours.Empty && !theirs.Empty:
		return AdoptPeers
	case theirs.Empty && !ours.Empty:
		return PeerAdopts
	case !ours.Empty && !unite:
		return Refused
	case theirs.IDs[0] < ours.IDs[0]:
		return AdoptPeers
	}
	return PeerAdopts
}

// Adopt returns the ids of a resource that takes over the peer's current one.
func Adopt(ours, theirs []string) []string {
	out := []string{theirs[0]}
	for _, id := range ours {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func sharesID(a, b []string) bool {
	return slices.ContainsFunc(a, func(id string) bool { return slices.Contains(b, id) })
}
