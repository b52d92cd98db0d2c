package replica

import "github.com/silvermirror/smfs/backend/object"

// Peer names a connected peer. A new session of the same peer uses the same.
type Peer string

// Action is what the engine has to do: one of the types below.
type Action interface{ action() }

// Push sends a peer everything it lacks of Head, in the background. The engine
// calls PushDone when the peer has it durable or the push failed; until then
// there is no other Push to that peer.
type Push struct {
	Peer Peer
	Head object.CommitID
	// Haves are commits that are here and at the peer: what they reach need
	// not be sent.
	Haves []object.CommitID
}

// Merge makes the merge of two heads that are complete here, durable but not
// yet a head. The engine calls Merged, or Failed.
type Merge struct {
	Ours, Theirs object.CommitID
}

// Yield gives way to a head that a fork keeps from being merged with ours: the
// engine takes a new incarnation, records anew under it what ours holds beyond
// theirs (merge.Anew), and merges that with theirs, all durable but not yet a
// head. It calls Yielded, or Failed.
type Yield struct {
	Ours, Theirs object.CommitID
	Fork         *object.Fork
}

// Adopt makes Head the head: the engine moves its ref from From to Head if it
// still is From, brings the disk there and calls Applied. If the ref is not
// From a local commit came between: the engine drops the action, since
// Committed has told or will tell.
type Adopt struct {
	From, Head object.CommitID
	Cover      object.Cover
}

// Announce tells a peer what is applied here.
type Announce struct {
	Peer  Peer
	Head  object.CommitID
	Cover object.Cover
}

// Refuse tells that a peer's head is not taken: one writer there and one here
// made different commits with one number, and it is the peer that has to give
// way. It is sent ours all the same, from which it learns that.
type Refuse struct {
	Peer Peer
	Fork *object.Fork
}

func (Push) action()     {}
func (Merge) action()    {}
func (Yield) action()    {}
func (Adopt) action()    {}
func (Announce) action() {}
func (Refuse) action()   {}
