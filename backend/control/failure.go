package control

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/silvermirror/smfs/backend"
)

// failure is an error on the wire.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// kind pairs a sentinel with its name on the wire and its HTTP status, which
// is there for people with curl alone.
type kind struct {
	code   string
	err    error
	status int
}

// kinds is in order of preference for errors that match several. It is built
// anew by each call: there is no package state to change.
func kinds() []kind {
	return []kind{
		{"mounted", ErrMounted, http.StatusConflict},
		{"invalid", backend.ErrInvalid, http.StatusBadRequest},
		{"not-found", backend.ErrNotFound, http.StatusNotFound},
		{"refused", backend.ErrRefused, http.StatusForbidden},
		{"busy", backend.ErrBusy, http.StatusConflict},
		{"timeout", backend.ErrTimeout, http.StatusGatewayTimeout},
		{"unreachable", backend.ErrUnreachable, http.StatusBadGateway},
		{"damaged", backend.ErrDamaged, http.StatusInternalServerError},
		{"closing", backend.ErrClosing, http.StatusServiceUnavailable},
		{"canceled", context.Canceled, http.StatusServiceUnavailable},
		{"deadline", context.DeadlineExceeded, http.StatusGatewayTimeout},
		{"no-file", fs.ErrNotExist, http.StatusNotFound},
		{"permission", fs.ErrPermission, http.StatusForbidden},
	}
}

func encodeFailure(err error) (failure, int) {
	f := failure{Code: "failed", Message: err.Error(), Hint: backend.Hint(err)}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			f.Code = k.code
			return f, k.status
		}
	}
	return f, http.StatusInternalServerError
}

// decodeFailure makes an error with the same message, sentinel and hint. An
// unknown code, from a newer engine, keeps message and hint.
func decodeFailure(f failure) error {
	e := &remoteError{message: f.Message}
	for _, k := range kinds() {
		if k.code == f.Code {
			e.kind = k.err
		}
	}
	if f.Hint == "" {
		return e
	}
	return backend.WithHint(e, f.Hint)
}

// remoteError is an error that happened in the engine.
type remoteError struct {
	message string
	kind    error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.kind }

// ended is Ended on the wire.
type ended struct {
	Uncommitted *failure `json:"uncommitted,omitempty"`
}

func encodeEnded(e Ended) ended {
	if e.Uncommitted == nil {
		return ended{}
	}
	f, _ := encodeFailure(e.Uncommitted)
	return ended{&f}
}

func decodeEnded(e ended) Ended {
	if e.Uncommitted == nil {
		return Ended{}
	}
	return Ended{decodeFailure(*e.Uncommitted)}
}
