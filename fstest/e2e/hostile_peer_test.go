package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/silvermirror/smfs/fstest"
)

// A hostile peer is this test binary, started over ssh by a name that says what
// it does: `NAME serve --stdio DIR`.
const impostorName = "impostor-"

// impersonate runs as a hostile peer, if that is what the process was started
// as.
func impersonate() bool {
	way, ok := strings.CutPrefix(filepath.Base(os.Args[0]), impostorName)
	if !ok {
		return false
	}
	ways[way](os.Args[len(os.Args)-1])
	return true
}

// ways are what hostile peers do; dir is a directory for what they note.
var ways = map[string]func(dir string){
	"garbage": func(string) {
		r := rand.NewChaCha8([32]byte{1})
		io.CopyN(os.Stdout, r, 1<<20)
		io.Copy(io.Discard, os.Stdin)
	},
	"polite-garbage": func(string) { // after a proper first line
		fmt.Print("smfs-peer/1\n")
		io.CopyN(os.Stdout, rand.NewChaCha8([32]byte{2}), 1<<20)
		io.Copy(io.Discard, os.Stdin)
	},
	"giant": func(string) { // a greeting of 4 GiB
		fmt.Print("smfs-peer/1\nH\xff\xff\xff\xff")
		io.Copy(io.Discard, os.Stdin)
	},
	"newer":  func(string) { fmt.Print("smfs-peer/99\n"); io.Copy(io.Discard, os.Stdin) },
	"silent": func(string) { io.Copy(io.Discard, os.Stdin) },
	"closes": func(string) { // after the greeting
		if s, err := open(newImpostor(), &deaf{}); err == nil {
			s.Close()
		}
	},
	"attacks":      runAttacks,
	"liar":         runLiar,
	"refuses-fork": func(string) { runRefuser(peer.Fork) },
	"refuses-all":  func(string) { runRefuser(peer.Damaged) },
}

type stdio struct {
	io.Reader
	io.Writer
}

func (stdio) Close() error { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

func open(im *impostor, h peer.Handler) (*peer.Session, error) {
	s, err := peer.Open(context.Background(), stdio{os.Stdin, os.Stdout}, peer.Options{
		Hello: peer.Hello{
			Node: im.fingerprint(), Name: "impostor", MirrorID: "no-mirror",
			Resources: []peer.Resource{{Name: "mirror", IDs: []string{"impostors"}, Empty: true}},
		},
		Handler: h,
	})
	if err == nil {
		im.victim = s.PeerHello().Resources[0]
	}
	return s, err
}

// deaf agrees to everything and keeps nothing.
type deaf struct{ joined chan struct{} }

func (d *deaf) OnAnnounce(context.Context, *peer.Session, peer.Announce) error { return nil }
func (d *deaf) OnFetch(context.Context, *peer.Session, peer.Fetch, io.Writer) error {
	return errors.New("no")
}

func (d *deaf) OnPush(_ context.Context, _ *peer.Session, _ peer.Push, pack io.Reader) error {
	_, err := io.Copy(io.Discard, pack)
	return err
}

func (d *deaf) OnHas(_ context.Context, _ *peer.Session, _ string, ids [][20]byte) ([]bool, error) {
	return make([]bool, len(ids)), nil
}

func (d *deaf) OnJoin(_ context.Context, _ *peer.Session, j peer.Join) (peer.Joined, error) {
	close(d.joined)
	return peer.Joined{IDs: j.IDs, Empty: true}, nil
}

// refuser takes nothing.
type refuser struct {
	deaf
	code peer.Code
}

func (r *refuser) OnPush(_ context.Context, _ *peer.Session, p peer.Push, _ io.Reader) error {
	return &peer.Refusal{Code: r.code, Resource: p.Resource, Message: "not in this house"}
}

func runRefuser(code peer.Code) {
	im := newImpostor()
	if s, err := open(im, &refuser{deaf{make(chan struct{})}, code}); err == nil {
		<-s.Done()
	}
}

// outcome is how one attack ended, a line of DIR/outcomes.
type outcome struct {
	Name, Head, Error string
}

// runAttacks pushes one attack after the other, and last what is honest.
func runAttacks(dir string) {
	im, h := newImpostor(), &deaf{joined: make(chan struct{})}
	s, err := open(im, h)
	if err != nil {
		return
	}
	<-h.joined
	out, err := os.Create(filepath.Join(dir, "outcomes"))
	if err != nil {
		return
	}
	for _, a := range append(attacks(), honest("honest")) {
		head, pack := a.make(im)
		err := s.Push(context.Background(), peer.Push{Resource: im.victim.Name, Head: head}, func(w io.Writer) error {
			_, err := w.Write(pack)
			return err
		})
		o := outcome{Name: a.name, Head: object.CommitID(head).String()}
		if err != nil {
			o.Error = err.Error()
		}
		json.NewEncoder(out).Encode(o)
	}
	os.Rename(filepath.Join(dir, "outcomes"), filepath.Join(dir, "done"))
	<-s.Done()
}

// runLiar tells of heads and covers that it does not have.
func runLiar(dir string) {
	im, h := newImpostor(), &deaf{joined: make(chan struct{})}
	s, err := open(im, h)
	if err != nil {
		return
	}
	<-h.joined
	ctx, head := context.Background(), object.CommitID{1, 2, 3}
	writer := im.fingerprint() + ".ab"
	for _, a := range []peer.Announce{
		{Resource: im.victim.Name, Head: head, Cover: object.Cover{{Writer: writer, Seq: 9, Commit: head}}},
		{Resource: im.victim.Name, Head: head, Cover: im.victim.Cover},
		{Resource: im.victim.Name, Head: im.victim.Head},
		{Resource: im.victim.Name},
	} {
		s.Announce(ctx, a)
	}
	s.Announce(ctx, peer.Announce{Resource: "../../etc", Head: head}) // to nothing that is shared
	os.WriteFile(filepath.Join(dir, "done"), nil, 0o644)
	<-s.Done()
}

// as is the path of a hostile peer's program.
func as(t *testing.T, way string) string {
	t.Helper()
	if ways[way] == nil {
		t.Fatalf("no such hostile peer: %s", way)
	}
	self, err := os.Executable()
	check(t, err)
	path := filepath.Join(t.TempDir(), impostorName+way)
	check(t, os.Symlink(self, path))
	return path
}

// TestHostilePeersAreNotAdded adds peers that are none.
func TestHostilePeersAreNotAdded(t *testing.T) {
	t.Parallel()
	a, _, host := pairOf(t)
	configured(t, a, "[::SilverMirror::]", "timeout = 5", "[mirror]", "directory = .")
	check(t, put(a, "file", "x"))
	for _, c := range []struct{ way, says string }{
		{"garbage", "the other side is not smfs"},
		{"polite-garbage", "greet the peer"},
		{"giant", "greet the peer"},
		{"newer", "99"},
		{"silent", "no answer within 5s"},
	} {
		out, err := a.Try("peer", "add", c.way, host.URL(t.TempDir()), "--command", as(t, c.way))
		if c.way == "silent" { // for all one can know it is slow
			contains(t, out, c.says)
			continue
		}
		if err == nil {
			t.Errorf("%s was added: %s", c.way, out)
		}
		contains(t, out, c.says)
		if strings.ContainsAny(out, "\x1b\x00\x07") {
			t.Errorf("%s: control characters in %q", c.way, out)
		}
	}
	for _, p := range peers(t, a) {
		if p.Name != "silent" {
			t.Errorf("added: %+v", p)
		}
	}
	has("file", "x")(t, a, "")
}

// TestHostilePeersAmongOthers has peers of all kinds from the start; the honest
// one gets everything, and status says what is wrong with each of the others.
func TestHostilePeersAmongOthers(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	connect(t, a, b, host)
	a.Umount()
	var ini strings.Builder
	fmt.Fprintf(&ini, "[b]\nurl = %s\ncommand = %s\n", host.URL(b.Dir), a.Program.Path)
	for _, way := range []string{"garbage", "polite-garbage", "giant", "newer", "silent", "closes"} {
		fmt.Fprintf(&ini, "[%s]\nurl = %s\ncommand = %s\n", way, host.URL(t.TempDir()), as(t, way))
	}
	check(t, os.WriteFile(a.Path(".silvermirror/peers.ini"), []byte(ini.String()), 0o600))
	configured(t, a, "[::SilverMirror::]", "timeout = 5", "[mirror]", "directory = .")
	check(t, put(b, "from-b", "b"))
	a.Mount()
	check(t, put(a, "from-a", "a"))
	eventually(t, "both files on both sides", func() bool {
		_, errA := os.Stat(a.Path("from-b"))
		_, errB := os.Stat(b.Path("from-a"))
		return errA == nil && errB == nil
	})
	eventually(t, "an error for each hostile peer", func() bool {
		for _, p := range peers(t, a) {
			if p.Name != "b" && p.Name != "B" && (p.State == "connected" || p.Error == "") {
				return false
			}
		}
		return true
	})
}

// outcomes waits for the end of the attacks.
func outcomes(t *testing.T, dir string) (list []outcome) {
	t.Helper()
	done := filepath.Join(dir, "done")
	eventually(t, "the end of the attacks", func() bool {
		_, err := os.Stat(done)
		return err == nil
	})
	f, err := os.Open(done)
	check(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var o outcome
		check(t, json.Unmarshal(lines.Bytes(), &o))
		list = append(list, o)
	}
	return list
}

// TestAttacks has a peer that speaks the protocol push what no honest node
// makes. Each is refused with a reason, and nothing of it is kept.
func TestAttacks(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	check(t, put(a, "mine", "untouched"))
	same(t, a, b)
	dir := t.TempDir()
	a.Run("peer", "add", "evil", host.URL(dir), "--command", as(t, "attacks"))
	list := outcomes(t, dir)
	if len(list) != len(attacks())+1 {
		t.Fatalf("%d outcomes", len(list))
	}
	for _, o := range list {
		kept := exec.Command("git", "--git-dir="+a.Store(), "cat-file", "-e", o.Head).Run() == nil
		if accepted := o.Error == ""; accepted != (o.Name == "honest") || kept != accepted {
			t.Errorf("%s: kept %v, error %q", o.Name, kept, o.Error)
		}
	}
	eventually(t, "what was honest", func() bool {
		_, err := os.Stat(b.Path("honest"))
		return err == nil
	})
	for _, m := range []*fstest.Mirror{a, b} {
		lists(t, m, "", ".silvermirror", "@history", "@tags", "honest", "mine")
		has("mine", "untouched")(t, m, "")
	}
	if out := a.Git("fsck", "--strict"); out != "" {
		t.Errorf("fsck: %s", out)
	}
	contains(t, a.Run("status"), "refused")
	check(t, put(a, "after", "goes on"))
	eventually(t, "b", func() bool {
		_, err := os.Stat(b.Path("after"))
		return err == nil
	})
}

// TestLiar has a peer that tells of versions it does not have.
func TestLiar(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	check(t, put(a, "mine", "one"))
	same(t, a, b)
	dir := t.TempDir()
	a.Run("peer", "add", "liar", host.URL(dir), "--command", as(t, "liar"))
	eventually(t, "the lies", func() bool {
		_, err := os.Stat(filepath.Join(dir, "done"))
		return err == nil
	})
	check(t, put(a, "mine", "two"))
	check(t, put(b, "theirs", "b"))
	meet(t, a, b)
	has("mine", "two")(t, b, "")
	has("theirs", "b")(t, a, "")
}

// TestGarbageToServe talks nonsense to `smfs serve --stdio`.
func TestGarbageToServe(t *testing.T) {
	t.Parallel()
	m := one(t)
	check(t, put(m, "file", "x"))
	m.Run("wait", "--committed")
	head := m.Head()
	for _, text := range []string{"", "\n", "GET / HTTP/1.0\r\n\r\n", "smfs-peer/1\n", "smfs-peer/1\nH\xff\xff\xff\xff", "smfs-peer/1\nH\x00\x00\x00\x02{}garbage"} {
		cmd := exec.Command(m.Program.Path, "serve", "--stdio", m.Dir)
		cmd.Stdin = strings.NewReader(text)
		cmd.Run() // how it ends is of no use to one who talks nonsense
	}
	m.Umount() // the mount hides the log
	log := content(t, m.Path(".silvermirror/smfs.log"))
	contains(t, log, "the other side is not smfs: it said", "peer breaks the protocol", "without a word")
	m.Mount()
	has("file", "x")(t, m, "")
	if m.Head() != head {
		t.Error("the head has moved")
	}
}

// TestLinkIsNotFollowed has a peer put a link to a directory outside, then a
// directory in its place: what is in that is not written through the link.
func TestLinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	outside := t.TempDir()
	check(t, os.Symlink(outside, a.Path("way")))
	check(t, os.Symlink("../../..", a.Path("up")))
	same(t, a, b)
	host.Down()
	for _, name := range []string{"way", "up"} {
		check(t, os.Remove(a.Path(name)))
		check(t, os.Mkdir(a.Path(name), 0o755))
		check(t, put(a, name+"/in", "x"))
	}
	host.Up()
	meet(t, a, b)
	has("way/in", "x")(t, b, "")
	absent(t, filepath.Join(outside, "in"))
}
