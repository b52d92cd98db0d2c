package peer

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

// handler is a Handler by functions; a nil one refuses.
type handler struct {
	mu        sync.Mutex
	announced []Announce

	announce func(Announce) error
	push     func(context.Context, *Session, Push, io.Reader) error
	fetch    func(context.Context, Fetch, io.Writer) error
	join     func(Join) (Joined, error)
}

var errNot = errors.New("not in this test")

func (h *handler) OnAnnounce(_ context.Context, _ *Session, a Announce) error {
	h.mu.Lock()
	h.announced = append(h.announced, a)
	h.mu.Unlock()
	if h.announce == nil {
		return nil
	}
	return h.announce(a)
}

func (h *handler) OnPush(ctx context.Context, s *Session, p Push, r io.Reader) error {
	if h.push == nil {
		return errNot
	}
	return h.push(ctx, s, p, r)
}

func (h *handler) OnFetch(ctx context.Context, _ *Session, f Fetch, w io.Writer) error {
	if h.fetch == nil {
		return errNot
	}
	return h.fetch(ctx, f, w)
}

func (h *handler) OnHas(_ context.Context, _ *Session, _ string, ids [][20]byte) ([]bool, error) {
	has := make([]bool, len(ids))
	for i, id := range ids {
		has[i] = id[0]%2 == 1
	}
	return has, nil
}

func (h *handler) OnJoin(_ context.Context, _ *Session, j Join) (Joined, error) {
	if h.join == nil {
		return Joined{}, errNot
	}
	return h.join(j)
}

func commitID(s string) object.CommitID { return sha1.Sum([]byte(s)) }

func testHello(name string) Hello {
	return Hello{
		Node: "fp-" + name, Name: name, MirrorID: "mirror-" + name,
		Resources: []Resource{{
			Name: "docs", IDs: []string{"id-" + name, "older"}, Head: commitID(name),
			Cover:   object.Cover{{Writer: "a.1", Seq: 3, Commit: commitID("a3")}, {Writer: "b.1", Seq: 1, Commit: commitID("b1")}},
			Options: []byte("ignore = x\n"),
		}, {Name: "empty", IDs: []string{"e"}, Empty: true}},
	}
}

// pipes is a pair of connections, with and without a buffer between.
func pipes(t testing.TB, tcp bool) (a, b net.Conn) {
	t.Helper()
	if !tcp {
		return net.Pipe()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	b, err = l.Accept()
	must(t, err)
	return <-dialed, b
}

// pair opens a session between two nodes, a and b, which end with the test.
func pair(t testing.TB, tcp bool, ha, hb Handler) (a, b *Session) {
	t.Helper()
	return pairWith(t, tcp, Options{Handler: ha}, Options{Handler: hb})
}

func pairWith(t testing.TB, tcp bool, oa, ob Options) (a, b *Session) {
	t.Helper()
	ca, cb := pipes(t, tcp)
	return openPair(t, ca, cb, oa, ob)
}

func openPair(t testing.TB, ca, cb io.ReadWriteCloser, oa, ob Options) (a, b *Session) {
	t.Helper()
	oa.Initiator, oa.Hello, ob.Hello = true, testHello("a"), testHello("b")
	opened := make(chan error, 1)
	go func() {
		var err error
		b, err = Open(context.Background(), cb, ob)
		opened <- err
	}()
	a, err := Open(context.Background(), ca, oa)
	must(t, errors.Join(err, <-opened))
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

// noise is n reproducible bytes.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	out := make([]byte, n)
	rand.NewChaCha8(key).Read(out)
	return out
}

func writes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// ended waits for a session's end.
func ended(t testing.TB, s *Session) error {
	t.Helper()
	<-s.Done()
	return s.Err()
}

func sameBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d; equal up to %d", len(got), len(want), common(got, want))
	}
}

func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

const long = time.Hour // for what a test must not wait for
