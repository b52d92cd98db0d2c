package peer

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/silvermirror/smfs/backend/object"
)

// eachPipe runs a test over a connection without a buffer, and over TCP.
func eachPipe(t *testing.T, f func(t *testing.T, tcp bool)) {
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprintf("tcp=%v", tcp), func(t *testing.T) { f(t, tcp) })
	}
}

func TestHello(t *testing.T) {
	eachPipe(t, func(t *testing.T, tcp bool) {
		a, b := pair(t, tcp, &handler{}, &handler{})
		want := func(name string) Hello {
			h := testHello(name)
			h.Protocol = Protocol
			return h
		}
		if got := a.PeerHello(); !reflect.DeepEqual(got, want("b")) {
			t.Errorf("a was told %+v", got)
		}
		if got := b.PeerHello(); !reflect.DeepEqual(got, want("a")) {
			t.Errorf("b was told %+v", got)
		}
	})
}

func TestCallsBothWays(t *testing.T) {
	eachPipe(t, func(t *testing.T, tcp bool) {
		ha, hb := &handler{}, &handler{}
		a, b := pair(t, tcp, ha, hb)
		an := Announce{Resource: "docs", Head: commitID("h"), Cover: testHello("x").Resources[0].Cover}
		must(t, a.Announce(context.Background(), an))
		must(t, b.Announce(context.Background(), Announce{Resource: "docs"}))
		if !reflect.DeepEqual(hb.announced, []Announce{an}) || !reflect.DeepEqual(ha.announced, []Announce{{Resource: "docs"}}) {
			t.Errorf("announced %+v and %+v", hb.announced, ha.announced)
		}
		_, err := a.Ping(context.Background())
		must(t, err)
	})
}

func TestPush(t *testing.T) {
	for _, size := range []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3 << 20} {
		eachPipe(t, func(t *testing.T, tcp bool) {
			data := noise(1, size)
			var got []byte
			var meta Push
			a, _ := pair(t, tcp, nil, &handler{push: func(_ context.Context, _ *Session, p Push, r io.Reader) (err error) {
				meta = p
				got, err = io.ReadAll(r)
				return err
			}})
			p := Push{Resource: "docs", Head: commitID("new"), Haves: []object.CommitID{commitID("old")}, Size: int64(size)}
			must(t, a.Push(context.Background(), p, writes(data)))
			sameBytes(t, got, data)
			if !reflect.DeepEqual(meta, p) {
				t.Errorf("described as %+v", meta)
			}
			if l := a.Transfers(); len(l) != 0 {
				t.Errorf("still under way: %v", l)
			}
		})
	}
}

func TestPushRefused(t *testing.T) {
	refusal := &Refusal{Code: Fork, Resource: "docs", Writer: "w.1", Message: "two \x1b[31m commits"}
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("early=%v", early), func(t *testing.T) {
			a, _ := pair(t, false, nil, &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
				if !early {
					io.Copy(io.Discard, r)
				}
				return fmt.Errorf("take it: %w", refusal)
			}})
			err := a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes(noise(2, 6<<20)))
			wantErr(t, err, &Refusal{Code: Fork})
			wantErr(t, err, object.ErrFork)
			var r *Refusal
			if !errors.As(err, &r) || r.Writer != "w.1" || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("refusal %q", err)
			}
			_, err = a.Ping(context.Background()) // the session goes on
			must(t, err)
		})
	}
}

func TestRefusalCodes(t *testing.T) {
	for err, code := range map[error]Code{
		errors.New("disk fell off"):                    Failed,
		fmt.Errorf("x: %w", object.ErrFork):            Fork,
		&Refusal{Code: DiskFull}:                       DiskFull,
		fmt.Errorf("x: %w", &Refusal{Code: "unheard"}): "unheard",
	} {
		a, _ := pair(t, false, nil, &handler{announce: func(Announce) error { return err }})
		got := a.Announce(context.Background(), Announce{Resource: "docs"})
		wantErr(t, got, &Refusal{Code: code})
	}
	a, _ := pair(t, false, nil, nil)
	wantErr(t, a.Announce(context.Background(), Announce{Resource: "r"}), &Refusal{Code: Unsupported})
	_, err := a.ask(context.Background(), "dance", nil)
	wantErr(t, err, &Refusal{Code: Unsupported})
}

// A sender that fails midway is seen as such by the receiver, never as the end.
func TestPushSourceFails(t *testing.T) {
	seen := make(chan error, 1)
	a, _ := pair(t, false, nil, &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		seen <- err
		return err
	}})
	broken := errors.New("disk \x07 error")
	err := a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, func(w io.Writer) error {
		w.Write(noise(3, 100_000))
		return broken
	})
	wantErr(t, err, broken)
	var abort *AbortError
	if err := <-seen; !errors.As(err, &abort) || abort.Reason != `disk \a error` {
		t.Errorf("receiver saw %v", err)
	}
}

// A payload whose session ends is cut short for the receiver.
func TestPushCut(t *testing.T) {
	eachPipe(t, func(t *testing.T, tcp bool) {
		seen := make(chan error, 1)
		a, b := pair(t, tcp, nil, &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			seen <- err
			return err
		}})
		err := a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, func(w io.Writer) error {
			w.Write(noise(4, 1<<20))
			a.Abort(nil)
			piece := noise(4, pieceSize)
			for { // the session ends some time soon
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
		})
		wantErr(t, err, ErrClosed)
		if err := <-seen; err == nil {
			t.Error("the receiver took a cut payload for a whole one")
		}
		wantErr(t, ended(t, b), ErrPeerClosed)
	})
}

func TestPushCancelled(t *testing.T) {
	reading := make(chan struct{})
	seen := make(chan error, 1)
	a, _ := pair(t, false, nil, &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		close(reading)
		_, err := io.Copy(io.Discard, r)
		seen <- err
		return err
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-reading; cancel() }()
	err := a.Push(ctx, Push{Resource: "docs", Head: commitID("h")}, func(w io.Writer) error {
		piece := noise(5, pieceSize)
		for {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
	})
	wantErr(t, err, context.Canceled)
	if err := <-seen; err == nil {
		t.Error("the receiver took a cancelled payload for a whole one")
	}
	_, err = a.Ping(context.Background())
	must(t, err)
}

func TestFetch(t *testing.T) {
	data := noise(6, 2<<20+5)
	refuse := false
	gone := make(chan error, 1)
	a, _ := pair(t, false, nil, &handler{fetch: func(ctx context.Context, f Fetch, w io.Writer) error {
		if refuse {
			return &Refusal{Code: UnknownResource, Resource: f.Resource}
		}
		_, err := w.Write(data)
		gone <- err
		return err
	}})
	f := Fetch{Resource: "docs", Want: commitID("w"), Haves: []object.CommitID{commitID("x")}}
	var got []byte
	must(t, a.Fetch(context.Background(), f, func(r io.Reader) (err error) {
		got, err = io.ReadAll(r)
		return err
	}))
	sameBytes(t, got, data)
	must(t, <-gone)

	full := errors.New("disk is full")
	err := a.Fetch(context.Background(), f, func(r io.Reader) error { return full })
	wantErr(t, err, full)
	if err := <-gone; err == nil {
		t.Error("the sender was not told that nobody takes it")
	}

	refuse = true
	err = a.Fetch(context.Background(), f, func(r io.Reader) error {
		_, err := io.ReadAll(r)
		return err
	})
	wantErr(t, err, &Refusal{Code: UnknownResource})
}

// TestHas asks about more objects than one question may hold.
func TestHas(t *testing.T) {
	a, _ := pair(t, true, &handler{}, &handler{})
	ids := make([][20]byte, maxObjects+10)
	for i := range ids {
		ids[i] = sha1.Sum(fmt.Append(nil, i))
	}
	has, err := a.Has(t.Context(), "docs", ids)
	if err != nil || len(has) != len(ids) {
		t.Fatalf("%d answers about %d objects, %v", len(has), len(ids), err)
	}
	for i, id := range ids {
		if has[i] != (id[0]%2 == 1) {
			t.Fatalf("object %d: %v", i, has[i])
		}
	}
}

func TestJoin(t *testing.T) {
	a, _ := pair(t, false, nil, &handler{join: func(j Join) (Joined, error) {
		ours := Identity{IDs: []string{"filled"}}
		if Negotiate(ours, Identity{j.IDs, j.Empty}, j.Unite) == Refused {
			return Joined{}, &Refusal{Code: NotShared, Resource: j.Resource}
		}
		return Joined{IDs: ours.IDs}, nil
	}})
	got, err := a.Join(context.Background(), Join{Resource: "docs", IDs: []string{"mine"}, Empty: true})
	must(t, err)
	if !slices.Equal(got.IDs, []string{"filled"}) || got.Empty {
		t.Errorf("joined %+v", got)
	}
	_, err = a.Join(context.Background(), Join{Resource: "docs", IDs: []string{"mine"}})
	wantErr(t, err, &Refusal{Code: NotShared})
}

// Announcements may overtake each other on the way; the handler never sees an
// old one after a new one.
func TestAnnouncementsKeepOrder(t *testing.T) {
	var seen []byte
	h := &handler{announce: func(a Announce) error { seen = append(seen, a.Head[0]); return nil }}
	a, _ := pair(t, true, nil, h)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := a.Announce(context.Background(), Announce{Resource: "docs", Head: object.CommitID{byte(i + 1)}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last := object.CommitID{255}
	must(t, a.Announce(context.Background(), Announce{Resource: "docs", Head: last}))
	if seen[len(seen)-1] != 255 {
		t.Errorf("seen in the end: %v", seen)
	}
	n := len(seen)
	for _, step := range []struct {
		order uint64
		taken bool
	}{{50, false}, {1000, true}, {1000, false}, {999, false}, {1001, true}} {
		_, err := a.ask(context.Background(), callAnnounce, encode(wireAnnounce{Order: step.order, Resource: "docs"}))
		must(t, err)
		if step.taken {
			n++
		}
		if len(seen) != n {
			t.Errorf("order %d: %d taken, want %d", step.order, len(seen), n)
		}
	}
}

func TestTransfersShowProgress(t *testing.T) {
	const half = 1 << 20
	reached, goOn := make(chan struct{}), make(chan struct{})
	a, b := pair(t, false, nil, &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		io.CopyN(io.Discard, r, half)
		close(reached)
		<-goOn
		_, err := io.Copy(io.Discard, r)
		return err
	}})
	done := make(chan error, 1)
	p := Push{Resource: "docs", Head: commitID("h"), Size: 2 * half}
	go func() { done <- a.Push(context.Background(), p, writes(noise(7, 2*half))) }()
	<-reached
	in := b.Transfers()
	if len(in) != 1 || !in[0].Incoming || in[0].Bytes != half || in[0].Total != 2*half || in[0].Resource != "docs" || in[0].Head != p.Head {
		t.Errorf("receiver shows %+v", in)
	}
	_, err := a.Ping(context.Background()) // brings the acknowledgements before it
	must(t, err)
	if out := a.Transfers(); len(out) != 1 || out[0].Incoming || out[0].Bytes > half || out[0].Total != 2*half {
		t.Errorf("sender shows %+v", out)
	}
	close(goOn)
	must(t, <-done)
}

// A small call is answered while a large push goes on and its receiver stalls.
func TestSmallCallsOvertake(t *testing.T) {
	stalled, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a, _ := pair(t, false, nil, &handler{push: func(_ context.Context, _ *Session, p Push, r io.Reader) error {
		if p.Resource == "bulk" {
			io.CopyN(io.Discard, r, 1<<20)
			once.Do(func() { close(stalled) })
			<-goOn
		}
		_, err := io.Copy(io.Discard, r)
		return err
	}})
	done := make(chan error, 1)
	go func() {
		done <- a.Push(context.Background(), Push{Resource: "bulk", Head: commitID("h")}, writes(noise(8, 16<<20)))
	}()
	<-stalled
	must(t, a.Announce(context.Background(), Announce{Resource: "docs"}))
	must(t, a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes([]byte("small"))))
	close(goOn)
	must(t, <-done)
}

// Many calls of all kinds at once, both ways, each with its own content.
func TestConcurrentCalls(t *testing.T) {
	handler := func() *handler {
		return &handler{
			push: func(_ context.Context, _ *Session, p Push, r io.Reader) error {
				got, err := io.ReadAll(r)
				if err == nil && commitID(string(got)) != p.Head {
					err = errors.New("another payload")
				}
				return err
			},
			fetch: func(_ context.Context, f Fetch, w io.Writer) error {
				_, err := w.Write(noise(uint64(f.Want[0]), 100_000))
				return err
			},
		}
	}
	a, b := pair(t, true, handler(), handler())
	var wg sync.WaitGroup
	for i := range 60 {
		s := []*Session{a, b}[i%2]
		data := noise(uint64(i), 1000*i*i/10)
		wg.Go(func() {
			if err := s.Push(context.Background(), Push{Resource: "docs", Head: commitID(string(data))}, writes(data)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			err := s.Fetch(context.Background(), Fetch{Resource: "docs", Want: object.CommitID{byte(i), 1}}, func(r io.Reader) error {
				got, err := io.ReadAll(r)
				if err == nil && string(got) != string(noise(uint64(i), 100_000)) {
					err = errors.New("another payload")
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := s.Announce(context.Background(), Announce{Resource: "docs"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCloseEndsEverything(t *testing.T) {
	eachPipe(t, func(t *testing.T, tcp bool) {
		before := runtime.NumGoroutine()
		inside := make(chan struct{}, 1)
		a, b := pair(t, tcp, nil, &handler{push: func(ctx context.Context, _ *Session, _ Push, r io.Reader) error {
			inside <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}})
		done := make(chan error, 1)
		go func() {
			done <- a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes(noise(9, 8<<20)))
		}()
		<-inside
		must(t, b.Close())
		wantErr(t, b.Err(), ErrClosed)
		wantErr(t, ended(t, a), ErrPeerClosed)
		if err := <-done; err == nil {
			t.Error("push through a closed session succeeded")
		}
		must(t, a.Close())
		must(t, a.Close())
		wantErr(t, a.Announce(context.Background(), Announce{Resource: "docs"}), ErrPeerClosed)
		settle(t, before)
	})
}

// settle returns when no more goroutines run than before. If some never end,
// the test's own time limit shows their stacks.
func settle(t testing.TB, before int) {
	t.Helper()
	for runtime.NumGoroutine() > before {
		time.Sleep(time.Millisecond)
	}
}

func TestAbortFromHandler(t *testing.T) {
	why := errors.New("we do not like you")
	a, b := pair(t, false, nil, &handler{push: func(_ context.Context, s *Session, _ Push, _ io.Reader) error {
		s.Abort(why)
		return why
	}})
	if err := a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes(nil)); err == nil {
		t.Error("push through an aborted session succeeded")
	}
	wantErr(t, ended(t, b), why)
}

// A handler that takes longer than the idle time does not look dead.
func TestSlowHandlerIsAlive(t *testing.T) {
	t.Parallel()
	o := Options{Idle: time.Second}
	slow := func() { time.Sleep(3 * o.Idle / 2) } // the passing of time is the matter here
	ob := o
	ob.Handler = &handler{
		announce: func(Announce) error { slow(); return nil },
		push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
			slow()
			io.Copy(io.Discard, r)
			slow()
			return nil
		},
		fetch: func(_ context.Context, _ Fetch, w io.Writer) error {
			slow()
			_, err := w.Write([]byte("x"))
			return err
		},
	}
	a, _ := pairWith(t, true, o, ob)
	var calls errgroup.Group
	calls.Go(func() error { return a.Announce(context.Background(), Announce{Resource: "docs"}) })
	calls.Go(func() error {
		return a.Push(context.Background(), Push{Resource: "docs", Head: commitID("h")}, writes([]byte("x")))
	})
	calls.Go(func() error {
		return a.Fetch(context.Background(), Fetch{Resource: "docs", Want: commitID("h")}, func(r io.Reader) error {
			slow()
			_, err := io.ReadAll(r)
			return err
		})
	})
	must(t, calls.Wait())
}
