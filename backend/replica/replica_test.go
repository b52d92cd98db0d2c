package replica

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

func id(s string) (c object.CommitID) {
	copy(c[:], s)
	return c
}

// covers makes a cover of one-letter writers: "a1 b3" holds a's first and b's
// first three commits, each called as here.
func covers(tips ...string) (c object.Cover) {
	for _, t := range tips {
		c = append(c, object.Tip{Writer: t[:1] + ".1", Seq: uint64(t[1] - '0'), Commit: id(t)})
	}
	return c
}

// told reads the commits that covers name: "a3" was made on "a2" by a. What
// begins with "x" is a commit of the same line that is not here.
func told(c object.CommitID) (*object.Commit, error) {
	if c[0] == 'x' {
		return nil, errors.New("not here")
	}
	out := &object.Commit{Writer: string(c[:1]) + ".1", Seq: uint64(c[1] - '0')}
	if out.Seq > 1 {
		before := c
		before[1]--
		if out.Cover = (object.Cover{{Writer: out.Writer, Seq: out.Seq - 1, Commit: before}}); out.Seq == 2 {
			out.Cover[0].Commit[2] = 0 // where all lines of a writer begin
		}
	}
	out.Time = int64(c[2])
	return out, nil
}

func newReplica(c object.CommitID, cover object.Cover) *Replica {
	return New(c, cover, object.NewLineage(told))
}

// show writes actions down in short.
func show(acts []Action) (out []string) {
	name := func(c object.CommitID) string {
		return string(slices.DeleteFunc(c[:], func(b byte) bool { return b == 0 }))
	}
	for _, act := range acts {
		switch a := act.(type) {
		case Push:
			s := fmt.Sprintf("push %s %s not", a.Peer, name(a.Head))
			for _, h := range a.Haves {
				s += " " + name(h)
			}
			out = append(out, s)
		case Merge:
			out = append(out, fmt.Sprintf("merge %s %s", name(a.Ours), name(a.Theirs)))
		case Adopt:
			out = append(out, fmt.Sprintf("adopt %s after %s", name(a.Head), name(a.From)))
		case Announce:
			out = append(out, fmt.Sprintf("tell %s %s", a.Peer, name(a.Head)))
		case Refuse:
			out = append(out, fmt.Sprintf("refuse %s %s %s %s", a.Peer, a.Fork.Writer, name(a.Fork.A), name(a.Fork.B)))
		case Yield:
			out = append(out, fmt.Sprintf("yield %s to %s", name(a.Ours), name(a.Theirs)))
		}
	}
	return out
}

// expect compares what an input led to.
func expect(t *testing.T, what string, acts []Action, want ...string) {
	t.Helper()
	if got := show(acts); !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		head   string
		cover  []string
		theirs string
		covers []string
		want   []string
	}{
		{"theirs covers more", "a1", []string{"a1"}, "b1", []string{"a1", "b1"}, []string{"adopt b1 after a1"}},
		{"theirs covers less", "b1", []string{"a1", "b1"}, "a1", []string{"a1"}, []string{"tell p b1", "push p b1 not a1"}},
		{"equal covers, theirs lower", "n", []string{"a1", "b1"}, "m", []string{"a1", "b1"}, []string{"adopt m after n"}},
		{"equal covers, ours lower", "m", []string{"a1", "b1"}, "n", []string{"a1", "b1"}, []string{"tell p m", "push p m not n a1 b1"}},
		{"incomparable", "a1", []string{"a1"}, "b1", []string{"b1"}, []string{"merge a1 b1"}},
		{"the same", "a1", []string{"a1"}, "a1", []string{"a1"}, []string{"tell p a1"}},
		{"nothing here yet", "", nil, "b1", []string{"b1"}, []string{"adopt b1 after "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, theirs := newReplica(id(c.head), covers(c.cover...)), covers(c.covers...)
			if c.name == "a fork" {
				theirs[0].Commit = id(c.theirs)
			}
			r.peers["p"] = &peer{head: head{id(c.theirs), theirs}}
			expect(t, "received", r.Received("p", id(c.theirs), theirs), c.want...)
		})
	}
}

// TestMergeAndTell follows two writes at once to the end.
func TestMergeAndTell(t *testing.T) {
	r := newReplica(id("a1"), covers("a1"))
	expect(t, "connected", r.Connected("p", id("a1"), covers("a1")), "tell p a1")
	expect(t, "committed", r.Committed(id("a2"), covers("a2")), "tell p a2", "push p a2 not a1")
	expect(t, "received", r.Received("p", id("b1"), covers("a1", "b1")), "merge a2 b1")
	expect(t, "merged", r.Merged(id("a2"), id("b1"), id("m"), covers("a2", "b1")), "adopt m after a2")
	if r.Head() != id("a2") {
		t.Error("the head moved before it was applied")
	}
	expect(t, "applied", r.Applied(id("m")), "tell p m")
	expect(t, "pushed", r.PushDone("p", id("a2"), nil), "push p m not a2 b1 a1")
	if got := r.Behind("p"); got != 2 {
		t.Errorf("behind by %d, want a2 and b1, of which it only said that it has them", got)
	}
	expect(t, "announced", r.Announced("p", id("m"), covers("a2", "b1")))
	expect(t, "pushed", r.PushDone("p", id("m"), nil))
	if r.Behind("p") != 0 || !r.Mirrored("p", r.ours.cover) {
		t.Error("the peer is taken to be behind")
	}
}

// TestOnePushAtATime: heads made while a push is under way become one push.
func TestOnePushAtATime(t *testing.T) {
	r := newReplica(id("a1"), covers("a1"))
	expect(t, "connected", r.Connected("p", object.CommitID{}, nil), "tell p a1", "push p a1 not")
	expect(t, "committed", r.Committed(id("a2"), covers("a2")), "tell p a2")
	expect(t, "committed", r.Committed(id("a3"), covers("a3")), "tell p a3")
	expect(t, "pushed", r.PushDone("p", id("a1"), nil), "push p a3 not a1")
	expect(t, "announced while it is under way", r.Announced("p", id("a1"), covers("a1")))
	expect(t, "failed", r.PushDone("p", id("a3"), errors.New("broken")))
	expect(t, "another peer", r.Connected("q", id("a3"), covers("a3")), "tell q a3")
	expect(t, "something new", r.Announced("p", id("a1"), covers("a1")), "push p a3 not a1")
	expect(t, "disconnected", r.Disconnected("p"))
	expect(t, "a late answer", r.PushDone("p", id("a3"), nil))
	expect(t, "connected again", r.Connected("p", id("a1"), covers("a1")), "tell p a3", "push p a3 not a1")
	if r.Mirrored("gone", nil) || r.Behind("gone") != 3 {
		t.Error("an unknown peer is taken to have something")
	}
}

// TestCommitOvertakes: a local commit while another head is being merged or
// adopted is merged in turn, whichever side of the ref's move it was made on.
func TestCommitOvertakes(t *testing.T) {
	t.Run("a merge", func(t *testing.T) {
		r := newReplica(id("a1"), covers("a1"))
		expect(t, "received", r.Received("p", id("b1"), covers("b1")), "merge a1 b1")
		expect(t, "committed", r.Committed(id("a2"), covers("a2")))
		expect(t, "merged", r.Merged(id("a1"), id("b1"), id("m"), covers("a1", "b1")), "merge a2 b1")
	})
	t.Run("an adoption, before the ref moves", func(t *testing.T) {
		r := newReplica(id("a1"), covers("a1"))
		expect(t, "received", r.Received("p", id("b1"), covers("a1", "b1")), "adopt b1 after a1")
		expect(t, "committed", r.Committed(id("a2"), covers("a2")), "merge a2 b1")
		expect(t, "applied, late", r.Applied(id("b1")))
	})
	t.Run("an adoption, after the ref moved", func(t *testing.T) {
		r := newReplica(id("a1"), covers("a1"))
		expect(t, "received", r.Received("p", id("b1"), covers("a1", "b1")), "adopt b1 after a1")
		expect(t, "committed", r.Committed(id("a2"), covers("a2", "b1")))
		expect(t, "applied, late", r.Applied(id("b1")))
		if r.Head() != id("a2") {
			t.Error("the head went back")
		}
	})
}

// TestMostFirst: of what waits, that which covers most is taken first, and what
// it covers is forgotten.
func TestMostFirst(t *testing.T) {
	r := newReplica(id("a1"), covers("a1"))
	expect(t, "first", r.Received("p", id("b1"), covers("b1")), "merge a1 b1")
	expect(t, "second", r.Received("q", id("c1"), covers("c1")))
	expect(t, "third", r.Received("q", id("c2"), covers("a1", "b1", "c2")), "adopt c2 after a1")
	expect(t, "merged, late", r.Merged(id("a1"), id("b1"), id("m"), covers("a1", "b1")))
	expect(t, "applied", r.Applied(id("c2")))
	expect(t, "fourth", r.Received("p", id("d1"), covers("d1")), "merge c2 d1")
	expect(t, "failed", r.Failed(id("d1")))
	expect(t, "sent again", r.Received("p", id("d1"), covers("d1")), "merge c2 d1")
}

// TestFailedAdoption: the next candidate has its turn.
func TestFailedAdoption(t *testing.T) {
	r := newReplica(id("a1"), covers("a1"))
	expect(t, "received", r.Received("p", id("b1"), covers("a1", "b1")), "adopt b1 after a1")
	expect(t, "received", r.Received("q", id("c1"), covers("a1", "c1")))
	expect(t, "failed", r.Failed(id("b1")), "adopt c1 after a1")
}

// TestFork: of "a2" and "a2b", both number 2 of a, the first stands: its node
// refuses the other head, at whatever numbers the two are, and sends its own;
// the other's node yields.
func TestFork(t *testing.T) {
	line := func(c string) object.Cover {
		return object.Cover{{Writer: "a.1", Seq: uint64(c[1] - '0'), Commit: id(c)}}
	}
	for _, c := range []struct{ stands, yields string }{{"a2", "a2b"}, {"a4", "a2b"}, {"a2", "a4b"}, {"a3", "a4b"}} {
		t.Run(c.stands+" "+c.yields, func(t *testing.T) {
			r := newReplica(id(c.stands), line(c.stands))
			refused := "refuse p a.1 a2 a2b"
			expect(t, "connected", r.Connected("p", id(c.yields), line(c.yields)), refused, "tell p "+c.stands, "push p "+c.stands+" not")
			expect(t, "announced", r.Announced("p", id(c.yields), line(c.yields)))
			expect(t, "received", r.Received("p", id(c.yields), line(c.yields)))
			if r.Mirrored("p", line(c.stands)) || r.Behind("p") == 0 {
				t.Error("a forked peer is taken to be up to date")
			}
			cured := slices.Concat(line(c.stands), covers("b1"))
			expect(t, "cured", r.Announced("p", id("m"), cured))
			expect(t, "again", r.Announced("p", id(c.yields), line(c.yields)), refused)

			r = newReplica(id(c.yields), line(c.yields))
			expect(t, "received", r.Received("p", id(c.stands), line(c.stands)), "yield "+c.yields+" to "+c.stands)
			expect(t, "yielded", r.Yielded(id(c.yields), id(c.stands), id("m"), cured), "adopt m after "+c.yields)
			expect(t, "applied", r.Applied(id("m")))
			if r.Covers(line(c.yields)) || !r.Covers(line(c.stands)) {
				t.Error("the wrong side gave way")
			}
		})
	}
}

// TestCommitOvertakesYield: what was to take the place of a head that has moved
// on is not adopted, and the node yields again.
func TestCommitOvertakesYield(t *testing.T) {
	fork := object.Cover{{Writer: "a.1", Seq: 2, Commit: id("a2b")}}
	r := newReplica(id("a2b"), fork)
	expect(t, "received", r.Received("p", id("a2"), covers("a2")), "yield a2b to a2")
	more := slices.Concat(fork, covers("b1"))
	expect(t, "committed", r.Committed(id("b1"), more))
	expect(t, "yielded", r.Yielded(id("a2b"), id("a2"), id("m"), covers("a2", "c1")), "yield b1 to a2")
	expect(t, "failed", r.Failed(id("a2")))
}

// TestUnknownLine: a larger number whose commits are not here does not prove
// that a peer has ours, and is not sent anything on that account either.
func TestUnknownLine(t *testing.T) {
	r := newReplica(id("a2"), covers("a2"))
	ahead := object.Cover{{Writer: "a.1", Seq: 4, Commit: id("x4")}}
	expect(t, "connected", r.Connected("p", id("x4"), ahead), "tell p a2")
	if r.Mirrored("p", covers("a2")) {
		t.Error("taken to be mirrored")
	}
	if !r.Mirrored("p", nil) || r.Behind("p") != 0 {
		t.Error("taken to be behind")
	}
}

func TestRecent(t *testing.T) {
	var s recent
	for i := range maxRecent + 5 {
		s.add(object.CommitID{byte(i), 1})
	}
	s.add(object.CommitID{10, 1})
	s.add(object.CommitID{})
	if len(s.ids) != maxRecent || s.has(object.CommitID{4, 1}) || !s.has(object.CommitID{5, 1}) || s.newest()[0] != (object.CommitID{10, 1}) {
		t.Errorf("got %d ids, the newest %v", len(s.ids), s.newest()[0])
	}
}
