package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// open opens a session against what says and hears whatever it likes.
func open(t testing.TB, o Options, stranger func(net.Conn)) (*Session, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	var tasks sync.WaitGroup
	tasks.Go(func() {
		defer theirs.Close()
		stranger(theirs)
	})
	o.Hello = testHello("us")
	s, err := Open(context.Background(), ours, o)
	t.Cleanup(func() {
		if s != nil {
			s.Close()
		}
		theirs.Close()
		tasks.Wait()
	})
	return s, err
}

// says sends text while it hears what comes.
func says(data []byte) func(net.Conn) {
	return func(c net.Conn) {
		go io.Copy(io.Discard, c)
		c.Write(data)
	}
}

func TestGreetings(t *testing.T) {
	for said, want := range map[string]string{
		"":                                 "ended without a word",
		"\n":                               "ended without a word",
		"bash: smfs: command not found\n":  `not smfs: it said "bash: smfs: command not found"`,
		"Welcome\x1b[2J to\x07 nas\r\nsm":  `it said "Welcome\x1b[2J to\a nas"`,
		"smfs-peer/2\n":                    "speaks protocol 2, this smfs speaks 1",
		"smfs-peer/02\n":                   `it said "smfs-peer/02"`,
		"smfs-peer/1":                      `it said "smfs-peer/1"`,
		"SSH-2.0-OpenSSH_9.2\r\n":          `it said "SSH-2.0-OpenSSH_9.2"`,
		"\xff\xfe\x00\n":                   `it said "\xff\xfe\x00"`,
		strings.Repeat("x", 100_000):       `it said "` + strings.Repeat("x", 256) + `"`,
		preamble() + "hello, I am a shell": "frame of type 'h'",
	} {
		_, err := open(t, Options{}, says([]byte(said)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %.40q: %v; want %q in it", said, err, want)
		}
	}
	var g *GreetingError
	_, err := open(t, Options{}, says([]byte("smfs-peer/7\n")))
	if !errors.As(err, &g) || g.Version != "7" {
		t.Errorf("another version: %v", err)
	}
}

// Nothing but the preamble is said to what is no peer.
func TestNothingIsToldToStrangers(t *testing.T) {
	var heard []byte
	done := make(chan struct{})
	open(t, Options{}, func(c net.Conn) {
		defer close(done)
		first := make([]byte, len(preamble()))
		io.ReadFull(c, first)
		c.Write([]byte("login: \n"))
		rest, _ := io.ReadAll(c)
		heard = append(first, rest...)
	})
	<-done
	if string(heard) != preamble() {
		t.Errorf("told a stranger %q", heard)
	}
}

func TestSilentStranger(t *testing.T) {
	_, err := open(t, Options{Greeting: 20 * time.Millisecond}, func(c net.Conn) { io.Copy(io.Discard, c) })
	wantErr(t, err, ErrTimeout)

	ctx, cancel := context.WithCancel(context.Background())
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		theirs.Read(make([]byte, 1)) // it has begun
		cancel()
	}()
	_, err = Open(ctx, ours, Options{})
	wantErr(t, err, context.Canceled)
}

// A hello may not take more memory than was sent, however long it claims to be.
func TestHelloLimits(t *testing.T) {
	head := func(typ byte, n uint32) []byte {
		return binary.BigEndian.AppendUint32([]byte(preamble()+string(typ)), n)
	}
	for name, data := range map[string][]byte{
		"too long":      head('H', maxMessage+1),
		"longest":       head('H', 0xffffffff),
		"another frame": head('Q', 2),
		"cut":           append(head('H', maxMessage), '{'),
		"no JSON":       append(head('H', 3), "{a}"...),
		"protocol":      append(head('H', 14), `{"protocol":9}`...),
	} {
		if _, err := open(t, Options{}, says(data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMessagesAreChecked(t *testing.T) {
	long := strings.Repeat("x", 300)
	tip := `{"w":"a","n":1,"c":"` + commitID("c").String() + `"}`
	for _, m := range []string{
		`{"protocol":1,"node":"a b"}`,
		`{"protocol":1,"name":"\u001b[2J"}`,
		`{"protocol":1,"name":"` + long + `"}`,
		`{"protocol":1,"resources":[{"name":"","ids":["a"]}]}`,
		`{"protocol":1,"resources":[{"name":"a\nb","ids":["a"]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":[]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":[""]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["../x y"]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"]},{"name":"a","ids":["b"]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"],"head":"12"}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"],"cover":[` + tip + `,` + tip + `]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"],"cover":[{"w":"","n":1}]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"],"cover":[{"w":"a","n":0}]}]}`,
		`{"protocol":1,"resources":[{"name":"a","ids":["a"],"cover":[{"w":"a","n":-1}]}]}`,
		`{"protocol":1,"resources":7}`, `[]`, `"`, ``, `{"protocol":1}}`,
	} {
		if _, err := parseHello([]byte(m)); !errors.Is(err, ErrProtocol) {
			t.Errorf("hello %.80s: %v", m, err)
		}
	}
	for _, m := range []string{
		`{}`, `{"resource":"docs"}`, `{"resource":"docs","head":"` + strings.Repeat("0", 40) + `"}`,
		`{"resource":"docs","head":"` + commitID("c").String() + `","size":-1}`,
		`{"resource":"docs","head":"` + commitID("c").String() + `","haves":[""]}`,
	} {
		if _, err := parsePack([]byte(m), "push"); !errors.Is(err, ErrProtocol) {
			t.Errorf("push %s: %v", m, err)
		}
	}
	if _, err := parseJoin([]byte(`{"resource":"docs","ids":[]}`)); !errors.Is(err, ErrProtocol) {
		t.Errorf("join without ids: %v", err)
	}
	if _, err := parseJoined([]byte(`{"ids":["a b"]}`)); !errors.Is(err, ErrProtocol) {
		t.Errorf("answer to join: %v", err)
	}
}

// rawPeer greets and then speaks yamux, and what it likes in its streams.
func rawPeer(t testing.TB, o Options) (*Session, *yamux.Session) {
	t.Helper()
	ours, theirs := net.Pipe()
	o.Initiator, o.Hello = true, testHello("us")
	conf := yamux.DefaultConfig()
	conf.LogOutput = io.Discard
	conf.EnableKeepAlive = false
	mux := make(chan *yamux.Session, 1)
	go func() {
		_, err := greet(context.Background(), watch(theirs), Options{Greeting: long, Hello: testHello("raw")})
		if err != nil {
			t.Error(err)
		}
		m, err := yamux.Server(theirs, conf)
		if err != nil {
			t.Error(err)
		}
		mux <- m
	}()
	s, err := Open(context.Background(), ours, o)
	must(t, err)
	m := <-mux
	t.Cleanup(func() { m.Close(); s.Close() })
	return s, m
}

// Bad frames in one call end that call; the session and its other calls go on.
func TestBadCalls(t *testing.T) {
	s, mux := rawPeer(t, Options{Handler: &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}}})
	push := requestFrame(callPush, encode(packToWire("docs", commitID("h"), nil, 0)))
	frame := func(typ frameType, body string) []byte { return appendFrame(nil, typ, []byte(body)) }
	for name, c := range map[string]struct {
		sent []byte
		code Code // of the refusal; "" if there is no answer
	}{
		"nothing":            {nil, ""},
		"half a header":      {[]byte("Q\x00"), ""},
		"huge request":       {[]byte("Q\xff\xff\xff\xff"), ""},
		"huge, cut":          {append([]byte("Q\x00\x40\x00\x00"), "{"...), ""},
		"no request":         {frame('E', ""), ""},
		"no JSON":            {frame('Q', "{"), ""},
		"deep JSON":          {frame('Q', strings.Repeat("[", 100_000)), ""},
		"no such call":       {frame('Q', `{"call":"\u001b[2J"}`), Unsupported},
		"bad body":           {frame('Q', `{"call":"announce","body":[1]}`), Failed},
		"no body":            {frame('Q', `{"call":"push"}`), Failed},
		"payload too long":   {append(push, "d\x00\x01\x00\x01"...), Failed},
		"reply in a payload": {append(push, frame('R', "{}")...), Failed},
		"unknown frame":      {append(push, frame('z', "")...), Failed},
		"short ack":          {append(push, frame('A', "1")...), Failed},
		"negative ack":       {append(push, frame('A', "\xff\xff\xff\xff\xff\xff\xff\xff")...), Failed},
		"given up":           {append(push, frame('X', "\x1b[31mno")...), Failed},
		"payload cut":        {append(push, "d\x00\x00\x00\x05ab"...), Failed},
		"no end":             {append(push, frame('d', "abc")...), Failed},
	} {
		st, err := mux.OpenStream()
		must(t, err)
		st.Write(c.sent)
		st.Close()
		answer, err := io.ReadAll(st)
		must(t, err)
		var got Code
		if len(answer) > 0 {
			_, err := readReply(&line{s: s, ctx: context.Background(), br: newReader(answer[frameHeader:])}, len(answer)-frameHeader)
			var r *Refusal
			if !errors.As(err, &r) || !isClean(err.Error(), 1<<20) {
				t.Errorf("%s: answer %q", name, answer)
				continue
			}
			got = r.Code
		}
		if got != c.code {
			t.Errorf("%s: code %q, want %q", name, got, c.code)
		}
	}
	must(t, s.Err())
}

// Bad answers to our calls are errors of those calls.
func TestBadReplies(t *testing.T) {
	s, mux := rawPeer(t, Options{})
	frame := func(typ frameType, body string) []byte { return appendFrame(nil, typ, []byte(body)) }
	for _, answer := range [][]byte{
		nil, []byte("R\x00"), []byte("R\xff\xff\xff\xff"), frame('R', "{"), frame('R', "[]"), frame('E', ""), frame('H', "{}"),
		frame('z', ""), frame('A', "12"), append(frame('A', "\x7f\xff\xff\xff\xff\xff\xff\xff"), frame('R', "{}")...),
		frame('R', `{"refusal":{"code":"\u001b","message":"\u001b[2J"}}`), frame('X', "no"), frame('d', "abc"),
	} {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			for range 3 {
				st, err := mux.AcceptStream()
				if err != nil {
					t.Error(err)
					return
				}
				go func() { io.Copy(io.Discard, st) }()
				st.Write(answer)
				st.Close()
			}
		}()
		err := s.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes(noise(1, 300_000)))
		if err == nil || !isClean(err.Error(), 1<<20) {
			t.Errorf("push answered by %q: %v", answer, err)
		}
		err = s.Fetch(context.Background(), Fetch{Resource: "docs", Want: commitID("h")}, func(r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if err == nil || !isClean(err.Error(), 1<<20) {
			t.Errorf("fetch answered by %q: %v", answer, err)
		}
		_, err = s.Join(context.Background(), Join{Resource: "docs", IDs: []string{"x"}})
		if err == nil || !isClean(err.Error(), 1<<20) {
			t.Errorf("join answered by %q: %v", answer, err)
		}
		<-answered
	}
	must(t, s.Err())
}

// A peer that lets calls hang loses them; one that does not answer ours loses
// the session.
func TestSlowPeers(t *testing.T) {
	t.Parallel()
	o := Options{Idle: 300 * time.Millisecond, Calls: 2, Handler: &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}}}
	s, mux := rawPeer(t, o)
	var hanging sync.WaitGroup
	for range 5 { // more than are served at a time
		st, err := mux.OpenStream()
		must(t, err)
		hanging.Go(func() {
			defer st.Close()
			st.Write([]byte("Q"))
			if n, err := io.Copy(io.Discard, st); n != 0 || err != nil {
				t.Errorf("hanging request: %d bytes, %v", n, err)
			}
		})
	}
	hanging.Wait()
	st, err := mux.OpenStream()
	must(t, err)
	st.Write(requestFrame(callPush, encode(packToWire("docs", commitID("h"), nil, 0))))
	answer, err := io.ReadAll(st)
	must(t, err)
	if !bytes.Contains(answer, []byte("did not answer in time")) {
		t.Errorf("hanging payload: %q", answer)
	}
	must(t, s.Err())
	go func() {
		for {
			if _, err := mux.AcceptStream(); err != nil {
				return
			}
		}
	}()
	wantErr(t, s.Announce(context.Background(), Announce{Resource: "docs"}), ErrTimeout)
	wantErr(t, ended(t, s), ErrTimeout)
}

// A peer whose machine is gone is given up, even with nothing to send.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	ca, cb := net.Pipe()
	hung := &hangable{Conn: ca}
	a, b := openPair(t, hung, cb, Options{Ping: 100 * time.Millisecond, Silence: 2 * time.Second}, Options{Ping: long, Silence: long})
	_, err := a.Ping(context.Background())
	must(t, err)
	must(t, a.Err())
	hung.hang()
	wantErr(t, ended(t, a), ErrSilent)
	b.Abort(nil)
}

// hangable is a connection from which, once it hangs, nothing arrives.
type hangable struct {
	net.Conn
	mu   sync.Mutex
	hung bool
}

func (c *hangable) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung = true
}

func (c *hangable) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		hung := c.hung
		c.mu.Unlock()
		if !hung || err != nil {
			return n, err
		}
	}
}

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	mu  sync.Mutex
	log []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.log = append(r.log, p...)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// record is what an initiator sends in a session with a push in it.
func record(t testing.TB) []byte {
	t.Helper()
	ca, cb := net.Pipe()
	rec := &recorder{Conn: ca}
	a, b := openPair(t, rec, cb, Options{Ping: long, Silence: long}, Options{Handler: takesPushes(nil)})
	must(t, a.Announce(context.Background(), Announce{Resource: "docs", Head: commitID("h")}))
	must(t, a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes([]byte("the pack"))))
	a.Close()
	b.Close()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.log
}

// takesPushes accepts the recorded push and no other.
func takesPushes(took func()) *handler {
	return &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && string(got) != "the pack" {
			err = errors.New("another pack")
		}
		if err == nil && took != nil {
			took()
		}
		return err
	}}
}

// A session that breaks off at any byte, or has any byte of it changed, leaves
// an error and no half payload.
func TestBreaksAtEveryByte(t *testing.T) {
	rec := record(t)
	end := bytes.LastIndex(rec, []byte("the pack")) + len("the pack") + frameHeader
	t.Logf("%d bytes recorded, the payload ends at %d", len(rec), end)
	play := func(data []byte) (took bool) {
		s, err := open(t, Options{Handler: takesPushes(func() { took = true })}, says(data))
		if err == nil {
			<-s.Done()
			s.Close()
		}
		return took
	}
	taken := make(chan struct{})
	_, err := open(t, Options{Handler: takesPushes(func() { close(taken) })}, func(c net.Conn) {
		says(rec)(c)
		<-taken
	})
	must(t, err)
	<-taken
	for i := range rec {
		if play(rec[:i]) && i < end {
			t.Errorf("cut at byte %d, and the pack was taken", i)
		}
	}
	for i := range rec {
		bad := bytes.Clone(rec)
		bad[i] ^= 1 << (i % 8)
		play(bad) // may be refused or, where it does not matter, taken
	}
}

func TestGarbage(t *testing.T) {
	for seed := range uint64(50) {
		data := append([]byte(preamble()), appendFrame(nil, frameHello, encode(helloToWire(testHello("g"))))...)
		data = append(data, noise(seed, 4096)...)
		s, err := open(t, Options{Handler: takesPushes(nil)}, says(data))
		must(t, err)
		if err := ended(t, s); !errors.Is(err, ErrPeerClosed) {
			t.Errorf("seed %d: %v", seed, err)
		}
		if _, err := open(t, Options{}, says(noise(seed, 4096))); err == nil || !isClean(err.Error(), 1<<20) {
			t.Errorf("seed %d: %q", seed, err)
		}
	}
}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }
