package backend

import "errors"

// The kinds of failure an API method may return, matched with errors.Is. They
// keep their identity across the control socket; anything else arrives there
// as its message alone.
var (
	ErrInvalid     = errors.New("invalid argument")
	ErrNotFound    = errors.New("not found")
	ErrRefused     = errors.New("refused")
	ErrBusy        = errors.New("busy")
	ErrTimeout     = errors.New("timed out")
	ErrUnreachable = errors.New("unreachable")
	ErrDamaged     = errors.New("damaged")
	ErrClosing     = errors.New("the engine is ending")
)

// ofKind is an error of one of the kinds above whose message says so already.
type ofKind struct {
	error
	kind error
}

func (k *ofKind) Unwrap() []error { return []error{k.error, k.kind} }

// hinted is an error with a line for the person who has to act on it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint attaches to err a line that says what to do next. The message of
// err is unchanged. A nil err stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// Hint returns the outermost hint attached to err, "" where there is none.
func Hint(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
