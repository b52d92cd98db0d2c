package peer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// Code names a reason to refuse a call.
type Code string

// The reasons. One that this side does not know is kept as it came.
const (
	Fork            Code = "fork"             // one writer made two commits with one number
	NotAuthorised   Code = "not-authorised"   // the peer may not do this
	UnknownResource Code = "unknown-resource" // no such resource here
	Damaged         Code = "damaged"          // what was sent does not check
	Incomplete      Code = "incomplete"       // what was sent builds on commits that are not here
	TooNew          Code = "too-new"          // needs a newer smfs
	TooLarge        Code = "too-large"        // exceeds a limit
	DiskFull        Code = "disk-full"        //
	NotShared       Code = "not-shared"       // both hold files and no id is shared
	Future          Code = "future"           // made in the future, by this side's clock
	Busy            Code = "busy"             // later, please
	Unsupported     Code = "unsupported"      // no such call
	Failed          Code = "failed"           // anything else; Message tells
)

// Refusal is the error of a call that the other side refused, and what a
// Handler returns to refuse one. errors.Is(err, &Refusal{Code: Fork}) compares
// the codes; a fork is object.ErrFork, too.
type Refusal struct {
	Code     Code
	Resource string
	Writer   object.Writer // of a fork
	Message  string        // for people; "" where the code says it all
}

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("refused: ")
	b.WriteString(string(r.Code))
	if r.Resource != "" {
		fmt.Fprintf(&b, " (%s)", r.Resource)
	}
	if r.Writer != "" {
		fmt.Fprintf(&b, ": writer %s", r.Writer)
	}
	if r.Message != "" {
		b.WriteString(": " + r.Message)
	}
	return b.String()
}

// Is reports whether target is a Refusal with the same code, or what the code
// stands for.
func (r *Refusal) Is(target error) bool {
	if target == object.ErrFork {
		return r.Code == Fork
	}
	t, ok := target.(*Refusal)
	return ok && t.Code == r.Code
}

// refusalOf makes of a handler's error what is sent to the peer.
func refusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	if errors.Is(err, object.ErrFork) {
		return &Refusal{Code: Fork, Message: err.Error()}
	}
	return &Refusal{Code: Failed, Message: err.Error()}
}
