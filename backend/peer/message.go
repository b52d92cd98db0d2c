package peer

import (
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

// Protocol is the version of the protocol this package speaks.
const Protocol = 1

// Hello is what a node says of itself when a session begins.
type Hello struct {
	Protocol  int    // filled in by Open
	Node      string // fingerprint of the device key: a claim until a commit is signed by it
	Name      string // for people
	MirrorID  string // tells copies of a node apart, and a node that it reached itself
	Resources []Resource
}

// Resource is a resource as one side has it.
type Resource struct {
	Name    string
	IDs     []string // the current one first, then those it held while empty
	Empty   bool     // nothing was ever committed
	Head    object.CommitID
	Cover   object.Cover
	Options []byte // the shared options of its tree
}

// Announce says what is applied at the sender.
type Announce struct {
	Resource string
	Head     object.CommitID
	Cover    object.Cover
	Waiting  int // names that are not on the disk as the head has them
}

// Push describes the pack that follows it: what Head reaches and Haves do not.
type Push struct {
	Resource string
	Head     object.CommitID
	Haves    []object.CommitID
	Size     int64 // bytes of the pack, an estimate; 0: not known
}

// Fetch asks for a pack: what Want reaches and Haves do not.
type Fetch struct {
	Resource string
	Want     object.CommitID
	Haves    []object.CommitID
}

// Join asks to share a resource; see Negotiate. It holds the state of the
// asking side.
type Join struct {
	Resource string
	IDs      []string
	Empty    bool
	Unite    bool // unite even where both hold files and share no id
}

// Joined answers a Join with the state of the other side, after it adopted the
// asking side's id if that was the outcome.
type Joined struct {
	IDs   []string
	Empty bool
}

// Transfer is a payload under way.
type Transfer struct {
	Resource string
	Head     object.CommitID
	Incoming bool
	Bytes    int64 // taken by the receiver
	Total    int64 // an estimate; 0: not known
	Started  time.Time
}
