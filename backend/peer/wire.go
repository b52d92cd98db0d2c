package peer

import (
	"encoding/json"
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// What a message may hold at most.
const (
	maxName      = 255 // bytes of a name
	maxID        = 128 // bytes of a resource id, a fingerprint, a mirror id
	maxWriter    = 255
	maxIDs       = 1 << 10
	maxResources = 1 << 12
	maxTips      = 1 << 14
	maxHaves     = 1 << 14
	maxObjects   = 1 << 16 // in one question
	maxOptions   = 1 << 20
	maxText      = 2 << 10
)

// The calls.
const (
	callPing     = "ping"
	callAnnounce = "announce"
	callJoin     = "join"
	callPush     = "push"
	callFetch    = "fetch"
	callHas      = "has"
)

// request and reply are the envelopes of a call.
type request struct {
	Call string          `json:"call"`
	Body json.RawMessage `json:"body,omitempty"`
}

type reply struct {
	Body    json.RawMessage `json:"body,omitempty"`
	Refusal *wireRefusal    `json:"refusal,omitempty"`
}

type wireRefusal struct {
	Code     string `json:"code"`
	Resource string `json:"resource,omitempty"`
	Writer   string `json:"writer,omitempty"`
	Message  string `json:"message,omitempty"`
}

type wireHello struct {
	Protocol  int            `json:"protocol"`
	Node      string         `json:"node"`
	Name      string         `json:"name"`
	MirrorID  string         `json:"mirror"`
	Resources []wireResource `json:"resources,omitempty"`
}

type wireResource struct {
	Name    string    `json:"name"`
	IDs     []string  `json:"ids"`
	Empty   bool      `json:"empty,omitempty"`
	Head    wireID    `json:"head"`
	Cover   []wireTip `json:"cover,omitempty"`
	Options []byte    `json:"options,omitempty"`
}

type wireTip struct {
	Writer string `json:"w"`
	Seq    uint64 `json:"n"`
	Commit wireID `json:"c"`
}

type wireAnnounce struct {
	Order    uint64    `json:"order"` // grows within a session: calls may overtake each other
	Resource string    `json:"resource"`
	Head     wireID    `json:"head"`
	Cover    []wireTip `json:"cover,omitempty"`
	Waiting  int       `json:"waiting,omitempty"`
}

type wirePack struct { // push, fetch
	Resource string   `json:"resource"`
	Head     wireID   `json:"head"`
	Haves    []wireID `json:"haves,omitempty"`
	Size     int64    `json:"size,omitempty"`
}

type wireObjects struct { // has
	Resource string `json:"resource"`
	IDs      []byte `json:"ids"` // 20 bytes each
}

type wireHas struct { // the answer
	Has []byte `json:"has"` // a byte for each id: 1 or 0
}

type wireJoin struct { // join, and its answer
	Resource string   `json:"resource,omitempty"`
	IDs      []string `json:"ids"`
	Empty    bool     `json:"empty,omitempty"`
	Unite    bool     `json:"unite,omitempty"`
}

// wireID is a commit id: 40 digits, or "" for none.
type wireID object.CommitID

func (id wireID) MarshalText() ([]byte, error) {
	if c := object.CommitID(id); !c.IsZero() {
		return []byte(c.String()), nil
	}
	return nil, nil
}

func (id *wireID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = wireID{}
		return nil
	}
	c, err := object.ParseCommitID(string(text))
	*id = wireID(c)
	return err
}

// decode reads a message of the peer.
func decode[T any](data []byte, what string) (v T, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode %s: %w: %s", what, ErrProtocol, clean(err.Error(), maxText))
	}
	return v, nil
}

// encode writes a message of ours, which is always possible.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("peer: encode a message: " + err.Error())
	}
	return data
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
