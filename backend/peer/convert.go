package peer

import (
	"github.com/silvermirror/smfs/backend/object"
)

// From our types to the wire, and from the wire to our types with every field
// checked.

func helloToWire(h Hello) wireHello {
	w := wireHello{Protocol: Protocol, Node: h.Node, Name: h.Name, MirrorID: h.MirrorID}
	for _, r := range h.Resources {
		w.Resources = append(w.Resources, wireResource{
			Name: r.Name, IDs: r.IDs, Empty: r.Empty, Head: wireID(r.Head), Cover: coverToWire(r.Cover), Options: r.Options,
		})
	}
	return w
}

func parseHello(data []byte) (Hello, error) {
	w, err := decode[wireHello](data, "hello")
	if err != nil {
		return Hello{}, err
	}
	h := Hello{Protocol: w.Protocol, Node: w.Node, Name: w.Name, MirrorID: w.MirrorID}
	switch {
	case w.Protocol != Protocol:
		return Hello{}, invalid("hello of protocol %d", w.Protocol)
	case !isID(w.Node) || !isID(w.MirrorID):
		return Hello{}, invalid("node %q of mirror %q", clip(w.Node), clip(w.MirrorID))
	case !isClean(w.Name, maxName):
		return Hello{}, invalid("node name %q", clip(w.Name))
	case len(w.Resources) > maxResources:
		return Hello{}, invalid("%d resources", len(w.Resources))
	}
	seen := map[string]bool{}
	for _, wr := range w.Resources {
		r, err := parseResource(wr)
		if err != nil {
			return Hello{}, err
		}
		if seen[r.Name] {
			return Hello{}, invalid("resource %q twice", r.Name)
		}
		seen[r.Name] = true
		h.Resources = append(h.Resources, r)
	}
	return h, nil
}

func parseResource(w wireResource) (Resource, error) {
	if err := checkResource(w.Name); err != nil {
		return Resource{}, err
	}
	if err := checkIDs(w.IDs); err != nil {
		return Resource{}, err
	}
	if len(w.Options) > maxOptions {
		return Resource{}, invalid("options of %d bytes", len(w.Options))
	}
	cover, err := coverFromWire(w.Cover)
	if err != nil {
		return Resource{}, err
	}
	return Resource{Name: w.Name, IDs: w.IDs, Empty: w.Empty, Head: object.CommitID(w.Head), Cover: cover, Options: w.Options}, nil
}

func parseAnnounce(data []byte) (Announce, uint64, error) {
	w, err := decode[wireAnnounce](data, "announcement")
	if err != nil {
		return Announce{}, 0, err
	}
	if err := checkResource(w.Resource); err != nil {
		return Announce{}, 0, err
	}
	cover, err := coverFromWire(w.Cover)
	return Announce{Resource: w.Resource, Head: object.CommitID(w.Head), Cover: cover, Waiting: w.Waiting}, w.Order, err
}

func parsePack(data []byte, what string) (Push, error) {
	w, err := decode[wirePack](data, what)
	if err != nil {
		return Push{}, err
	}
	p := Push{Resource: w.Resource, Head: object.CommitID(w.Head), Size: w.Size}
	switch {
	case checkResource(w.Resource) != nil:
		return Push{}, checkResource(w.Resource)
	case p.Head.IsZero():
		return Push{}, invalid("%s of no commit", what)
	case w.Size < 0:
		return Push{}, invalid("%s of %d bytes", what, w.Size)
	case len(w.Haves) > maxHaves:
		return Push{}, invalid("%s with %d commits as its base", what, len(w.Haves))
	}
	for _, id := range w.Haves {
		if object.CommitID(id).IsZero() {
			return Push{}, invalid("%s with no commit as its base", what)
		}
		p.Haves = append(p.Haves, object.CommitID(id))
	}
	return p, nil
}

func packToWire(resource string, head object.CommitID, haves []object.CommitID, size int64) wirePack {
	w := wirePack{Resource: resource, Head: wireID(head), Size: size}
	for _, id := range haves[:min(len(haves), maxHaves)] {
		w.Haves = append(w.Haves, wireID(id))
	}
	return w
}

func objectsToWire(resource string, ids [][20]byte) wireObjects {
	w := wireObjects{Resource: resource, IDs: make([]byte, 0, 20*len(ids))}
	for _, id := range ids {
		w.IDs = append(w.IDs, id[:]...)
	}
	return w
}

func parseObjects(data []byte) (resource string, ids [][20]byte, err error) {
	w, err := decode[wireObjects](data, "question for objects")
	if err != nil {
		return "", nil, err
	}
	if err := checkResource(w.Resource); err != nil {
		return "", nil, err
	}
	if len(w.IDs)%20 != 0 || len(w.IDs) > 20*maxObjects {
		return "", nil, invalid("question for objects with ids of %d bytes", len(w.IDs))
	}
	for b := w.IDs; len(b) > 0; b = b[20:] {
		ids = append(ids, [20]byte(b))
	}
	return w.Resource, ids, nil
}

func hasToWire(has []bool) wireHas {
	w := wireHas{Has: make([]byte, len(has))}
	for i, h := range has {
		if h {
			w.Has[i] = 1
		}
	}
	return w
}

func parseHas(data []byte, n int) ([]bool, error) {
	w, err := decode[wireHas](data, "answer about objects")
	if err != nil {
		return nil, err
	}
	if len(w.Has) != n {
		return nil, invalid("answer about %d objects, not %d", len(w.Has), n)
	}
	has := make([]bool, n)
	for i, b := range w.Has {
		has[i] = b == 1
	}
	return has, nil
}

func parseJoin(data []byte) (Join, error) {
	w, err := decode[wireJoin](data, "join")
	if err != nil {
		return Join{}, err
	}
	if err := checkResource(w.Resource); err != nil {
		return Join{}, err
	}
	return Join(w), checkIDs(w.IDs)
}

func parseJoined(data []byte) (Joined, error) {
	w, err := decode[wireJoin](data, "answer to join")
	if err != nil {
		return Joined{}, err
	}
	return Joined{IDs: w.IDs, Empty: w.Empty}, checkIDs(w.IDs)
}

func coverToWire(c object.Cover) []wireTip {
	var w []wireTip
	for _, t := range c {
		w = append(w, wireTip{t.Writer, t.Seq, wireID(t.Commit)})
	}
	return w
}

func coverFromWire(w []wireTip) (object.Cover, error) {
	if len(w) > maxTips {
		return nil, invalid("cover of %d writers", len(w))
	}
	var c object.Cover
	for i, t := range w {
		switch {
		case t.Writer == "" || !isClean(t.Writer, maxWriter):
			return nil, invalid("writer %q", clip(t.Writer))
		case t.Seq == 0 || object.CommitID(t.Commit).IsZero():
			return nil, invalid("cover of %q without a commit", t.Writer)
		case i > 0 && w[i-1].Writer >= t.Writer:
			return nil, invalid("cover out of order at %q", t.Writer)
		}
		c = append(c, object.Tip{Writer: t.Writer, Seq: t.Seq, Commit: object.CommitID(t.Commit)})
	}
	return c, nil
}

func refusalToWire(r *Refusal) *wireRefusal {
	return &wireRefusal{Code: string(r.Code), Resource: r.Resource, Writer: r.Writer, Message: clean(r.Message, maxText)}
}

// refusalFromWire escapes and cuts rather than refuses: it goes to people only.
func refusalFromWire(w *wireRefusal) *Refusal {
	code := Code(clean(w.Code, 64))
	if code == "" {
		code = Failed
	}
	return &Refusal{
		Code: code, Resource: clean(w.Resource, maxName), Writer: clean(w.Writer, maxWriter), Message: clean(w.Message, maxText),
	}
}

func checkResource(name string) error {
	if name == "" || !isClean(name, maxName) {
		return invalid("resource name %q", clip(name))
	}
	return nil
}

func checkIDs(ids []string) error {
	if len(ids) == 0 || len(ids) > maxIDs {
		return invalid("%d resource ids", len(ids))
	}
	for _, id := range ids {
		if id == "" || !isID(id) {
			return invalid("resource id %q", clip(id))
		}
	}
	return nil
}

// isID reports whether s can be an id or a fingerprint: letters, digits and a
// few marks. "" can.
func isID(s string) bool {
	if len(s) > maxID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' && c != ':' && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}

func clip(s string) string { return s[:min(len(s), 64)] }
