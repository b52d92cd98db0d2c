package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNegotiate(t *testing.T) {
	id := func(empty bool, ids ...string) Identity { return Identity{ids, empty} }
	for _, c := range []struct {
		ours, theirs Identity
		unite        bool
		want         Outcome
	}{
		{id(false, "a"), id(false, "a"), false, Shared},
		{id(false, "a"), id(true, "b", "a"), false, Shared},
		{id(true, "a", "x"), id(true, "b", "x"), false, Shared},
		{id(true, "a"), id(false, "b"), false, AdoptPeers},
		{id(true, "b"), id(false, "a"), true, AdoptPeers},
		{id(true, "b"), id(true, "a"), false, AdoptPeers},
		{id(true, "a"), id(true, "b"), false, PeerAdopts},
		{id(false, "a"), id(false, "b"), false, Refused},
		{id(false, "b"), id(false, "a"), true, AdoptPeers},
		{id(false, "a"), id(false, "b"), true, PeerAdopts},
		{id(true), id(false, "b"), true, Refused},
	} {
		if got := Negotiate(c.ours, c.theirs, c.unite); got != c.want {
			t.Errorf("%v with %v: %v, want %v", c.ours, c.theirs, got, c.want)
		}
		mirrored := map[Outcome]Outcome{Shared: Shared, Refused: Refused, AdoptPeers: PeerAdopts, PeerAdopts: AdoptPeers}
		if got := Negotiate(c.theirs, c.ours, c.unite); got != mirrored[c.want] {
			t.Errorf("%v with %v: %v, want %v", c.theirs, c.ours, got, mirrored[c.want])
		}
		if c.want == AdoptPeers {
			after := id(c.ours.Empty, Adopt(c.ours.IDs, c.theirs.IDs)...)
			if Negotiate(after, c.theirs, false) != Shared || after.IDs[0] != c.theirs.IDs[0] || !slices.Contains(after.IDs, c.ours.IDs[0]) {
				t.Errorf("after adopting: %v", after)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	var b Backoff
	var got []time.Duration
	for range 9 {
		got = append(got, b.Next())
	}
	s := time.Second
	if want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}; !slices.Equal(got, want) {
		t.Errorf("waits %v", got)
	}
	if b.failures != 9 {
		t.Errorf("%d failures", b.failures)
	}
	b.Reset()
	if d := b.Next(); d != s/2 {
		t.Errorf("after a success %v", d)
	}
	b = Backoff{Min: time.Millisecond, Max: s, Random: rand.New(rand.NewPCG(1, 2)).Float64}
	full := time.Millisecond
	for range 2000 {
		if d := b.Next(); d < full/2 || d > full {
			t.Fatalf("waits %v of %v", d, full)
		}
		full = min(2*full, s)
	}
}

func TestParseURL(t *testing.T) {
	for s, want := range map[string]URL{
		"nas":                          {Host: "nas"},
		"me@nas":                       {User: "me", Host: "nas"},
		"me@nas:mirror":                {User: "me", Host: "nas", Path: "mirror"},
		"nas:/srv/a b":                 {Host: "nas", Path: "/srv/a b"},
		"nas:~/x":                      {Host: "nas", Path: "x"},
		"nas:~":                        {Host: "nas"},
		"nas:/":                        {Host: "nas"},
		"ssh://nas/~":                  {Host: "nas"},
		"me@[::1]:/x":                  {User: "me", Host: "::1", Path: "/x"},
		"::1":                          {Host: "::1"},
		"ssh://nas":                    {Host: "nas"},
		"ssh://nas/":                   {Host: "nas"},
		"SSH://me@nas.lan:2222/srv/x":  {User: "me", Host: "nas.lan", Port: 2222, Path: "/srv/x"},
		"ssh://nas/~/my%20mirror":      {Host: "nas", Path: "my mirror"},
		"ssh://[fe80::1%25eth0]:22/~/": {Host: "fe80::1%eth0", Port: 22},
	} {
		u, err := ParseURL(s)
		if err != nil || *u != want {
			t.Errorf("%s: %+v, %v", s, u, err)
			continue
		}
		if again, err := ParseURL(u.String()); err != nil || *again != want {
			t.Errorf("%s written as %s: %+v, %v", s, u, again, err)
		}
	}
	for _, s := range []string{
		"", "-oProxyCommand=x", "ssh://-oProxyCommand=x/y", "-u@host", "ssh://-u@host/x", "u@-h:x", "u@", "@h", ":x", "h:", "ssh://", "ssh:///x",
		"ssh://h:0/x", "ssh://h:70000/x", "ssh://h:x/", "ssh://u:secret@h/x", "ssh://h/x?y", "ssh://h/x#y", "a b", "h\n", "h:\x1b", "ssh://h/%0a",
		"$(reboot)", "h;x", "u;x@h", "gopher://x/y", "ssh://h/%zz", "[::1",
	} {
		if u, err := ParseURL(s); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %+v, %v", s, u, err)
		}
	}
	for _, s := range []string{
		"smfs://nas:7777", "https://host/x.git", "git@github.com:me/docs.git", "ssh://nas/docs.git", "file:///media/usb/docs.git",
		"/media/usb", "./x", "../x", "git://x/y",
	} {
		if u, err := ParseURL(s); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: %+v, %v", s, u, err)
		}
	}
	if _, err := ParseURL("ssh://u:secret@h/x"); strings.Contains(errors.Unwrap(err).Error(), "secret") {
		t.Errorf("a password in the cause: %v", err)
	}
}

func TestRemoteCommand(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", "'smfs' serve --stdio"},
		{"", "/a b/$(x)", "'smfs' serve --stdio '/a b/$(x)'"},
		{"/opt/it's/smfs", "x", `'/opt/it'\''s/smfs' serve --stdio 'x'`},
		{"~/bin/smfs", "-x", "'./bin/smfs' serve --stdio './-x'"},
	} {
		if got := remoteCommand(c[0], c[1]); got != c[2] {
			t.Errorf("%q %q: %s", c[0], c[1], got)
		}
	}
}

func TestSSHConfig(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".ssh")
	must(t, os.MkdirAll(filepath.Join(dir, "more"), 0o700))
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600)) }
	write(".ssh/config", `
# a comment
Include more/*.conf
Host nas "box 2" !nas3
  HostName = %h.lan   # real name
  Port 2222
  IdentityFile "~/.ssh/my key"
  IdentityFile ~/.ssh/second
Host na?
  Port 99
  User backup
Host inner
  Include more/inner
  Port 7
Match host *.lan,!other.lan user backup
  ProxyJump gate:22
Match exec "true"
  User evil
Match originalhost nas localuser me
  UserKnownHostsFile ~/k1 "/k 2"
Match all
  IdentitiesOnly yes
  ProxyCommand nc %h
  ForwardAgent yes
`)
	write(".ssh/more/a.conf", "Host included\n  User fromfile\n")
	write(".ssh/more/inner", "User innermost\nHost other\n  Port 1\n")
	write("system", "Host *\n  User system\n  Port 22\n")
	read := func(host string) *sshConfig {
		c, err := readConfig(home, filepath.Join(home, "system"), host, "", "me")
		must(t, err)
		return c
	}
	c := read("nas")
	want := sshConfig{
		hostName: "%h.lan", port: "2222", user: "backup", identityFiles: []string{"~/.ssh/my key", "~/.ssh/second"},
		identitiesOnly: "yes", knownHosts: []string{"~/k1", "/k 2"}, proxyJump: "gate:22",
	}
	warnings := c.warnings
	c.warnings = nil
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("nas: %+v", *c)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], "Match exec") || !strings.Contains(warnings[1], "proxycommand") {
		t.Errorf("warnings %q", warnings)
	}
	if c := read("included"); c.user != "fromfile" || c.port != "22" {
		t.Errorf("included: %+v", c)
	}
	if c := read("inner"); c.user != "innermost" || c.port != "7" {
		t.Errorf("inner: %+v", c)
	}
	if c := read("nas3"); c.port != "22" || c.user != "system" {
		t.Errorf("nas3: %+v", c)
	}
	if c := read("other"); c.port != "22" { // its Host line stands below another one
		t.Errorf("other: %+v", c)
	}
	write(".ssh/config", "Include config\n")
	if _, err := readConfig(home, "", "h", "", "me"); err == nil {
		t.Error("a file that includes itself was read")
	}
	must(t, os.Chmod(filepath.Join(dir, "config"), 0o622))
	if _, err := readConfig(home, "", "h", "", "me"); err == nil {
		t.Error("a file that others may write was read")
	}
}

// link is a receiver behind a link of some rate, in virtual time.
type link struct {
	rate float64       // bytes a second
	trip time.Duration // there and back, nothing queued
}

// run sends n bytes and returns how long that took, and the longest that a
// small call would have waited in the queue in the second half.
func (k link) run(n int64) (took, wait time.Duration) {
	p := newPacer(&roundTrip{})
	now := time.Unix(0, 0)
	start, free := now, now // free: when the link has sent what it was given
	type ack struct {
		at    time.Time
		taken int64
	}
	var acks []ack
	for sent := int64(0); sent < n || len(acks) > 0; {
		p.mu.Lock()
		room := p.sent-p.acked < p.limit && sent < n
		p.mu.Unlock()
		if !room {
			now = acks[0].at
			if p.took(acks[0].taken, now) != nil {
				panic("acknowledged too much")
			}
			acks = acks[1:]
			continue
		}
		ask := p.sending(pieceSize, now)
		sent += pieceSize
		if free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(pieceSize / k.rate * 1e9))
		if q := free.Sub(now); sent > n/2 {
			wait = max(wait, q)
		}
		if ask {
			acks = append(acks, ack{free.Add(k.trip), sent})
		}
	}
	return now.Sub(start), wait
}

// The pacer fills the link and keeps its queue short.
func TestPacer(t *testing.T) {
	for name, c := range map[string]struct {
		link
		size int64
		wait time.Duration
	}{
		"10 Mbit/s, 100 ms": {link{1.25e6, 100 * time.Millisecond}, 32 << 20, 200 * time.Millisecond},
		"10 Mbit/s, 1 ms":   {link{1.25e6, time.Millisecond}, 16 << 20, 200 * time.Millisecond},
		"1 Gbit/s, 1 ms":    {link{125e6, time.Millisecond}, 256 << 20, 20 * time.Millisecond},
		"1 Gbit/s, 20 ms":   {link{125e6, 20 * time.Millisecond}, 1 << 30, 50 * time.Millisecond},
		"1 GB/s, 0.2 ms":    {link{1e9, 200 * time.Microsecond}, 1 << 30, 10 * time.Millisecond},
	} {
		took, wait := c.run(c.size)
		used := float64(c.size) / c.rate / took.Seconds()
		t.Logf("%s: %.0f%% of the rate, a small call waits %v at most", name, 100*used, wait)
		if used < 0.85 || wait > c.wait {
			t.Errorf("%s: %.0f%% of the rate, waits %v", name, 100*used, wait)
		}
	}
}

func TestPacerStops(t *testing.T) {
	p := newPacer(&roundTrip{})
	p.sending(startUnack, time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantErr(t, p.wait(ctx), context.Canceled)
	if err := p.took(startUnack+1, time.Now()); !errors.Is(err, ErrProtocol) {
		t.Errorf("more acknowledged than sent: %v", err)
	}
	must(t, p.took(startUnack, time.Now()))
	must(t, p.took(5, time.Now())) // late, of no matter
	must(t, p.wait(context.Background()))
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢": "plain é 漢", "a\x1b[0m\r\n": `a\x1b[0m\r\n`, "\xff": `\xff`, "\u202e": `\u202e`, "\u2028": `\u2028`, `q"\`: `q"\`,
		"123456789012345678901": "12345678901234567890...",
	} {
		if got := clean(in, 20); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
