package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

func TestStatus(t *testing.T) {
	f := newFixture(t)
	f.api.status = &backend.Status{
		Mirror: f.base, Node: backend.NodeStatus{Name: "laptop", ID: "SHA256:x"}, PID: 7, Mounted: true,
		LastStart: backend.StartStatus{Clean: true, Replayed: 3},
		Resources: []backend.ResourceStatus{{Name: "docs", Head: strings.Repeat("a", 40), Files: 2, FilesBytes: 100, StoreBytes: 2048, Outgrown: true,
			StoreGrowth: backend.Growth{Bytes: 1024, Since: time.Now().Add(-75 * time.Hour)},
			Waiting:     []backend.Waiting{{Path: "evil\x1b[2J\n", Reason: "a program has it open"}}, Problem: "disk full"}},
		Outside: []string{"a", "b", "c", "d", "e", "f", "g"},
		Peers: []backend.PeerStatus{{Name: "nas", State: "unreachable", URL: "ssh://nas/m", Error: "no route",
			Resources: []backend.PeerResourceStatus{{Name: "docs", Behind: 4}}}},
	}
	f.serve(true)
	if code := f.run("status"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &f.stderr)
	}
	for _, want := range []string{
		"(mounted, daemon 7)", "node    laptop, key SHA256:x", "after a clean end; 0 files scanned, 3 journal",
		"docs      2      100 B  0        0          2.0 KiB  +1.0 KiB in 3 d  aaaaaaaaaaaa\n",
		"docs: its history is more than ten times as large as its files: 2.0 KiB, and 100 B; every version is kept\n", "docs: disk full\n", `docs: a newer version waits: evil\x1b[2J\n (a program has it open)`,
		"in no resource, stays on this machine: e\nand 2 more stay on this machine\n",
		"nas   unreachable  docs: 4  ssh://nas/m\n", "nas: no route\n",
	} {
		if !strings.Contains(f.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &f.stdout)
		}
	}
	if code := f.run("status", "--json"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &f.stderr)
	}
	var got backend.Status
	if err := json.Unmarshal(f.stdout.Bytes(), &got); err != nil || got.Resources[0].Waiting[0].Path != "evil\x1b[2J\n" {
		t.Errorf("%v: %+v", err, got)
	}
	for _, want := range []string{`"transfers": []`, `"store_bytes": 2048`, `"last_start": {`} {
		if !strings.Contains(f.stdout.String(), want) {
			t.Errorf("no %s in\n%s", want, &f.stdout)
		}
	}
}

func TestLog(t *testing.T) {
	f := newFixture(t)
	mkfiles(t, f.base, "docs/")
	at := time.Unix(1_700_000_000, 0)
	f.api.versions = []backend.Version{
		{Resource: "docs", Commit: strings.Repeat("b", 40), Time: at, Node: "laptop", Subject: "edit a\tb", Path: "a\tb", Size: 10},
		{Resource: "docs", Commit: strings.Repeat("c", 40), Time: at, Node: "nas", Subject: "delete", Path: "a", Deleted: true},
	}
	f.serve(true)
	f.cwd = filepath.Join(f.base, "docs")
	if code := f.run("log", "-n", "2", "gone.txt"); code != exitOK {
		t.Fatalf("exit %d: %s", code, &f.stderr)
	}
	if want := (backend.LogOptions{Path: "docs/gone.txt", Limit: 2}); f.api.logged != want {
		t.Errorf("asked %+v, want %+v", f.api.logged, want)
	}
	day := when(at)
	want := "bbbbbbbbbbbb  " + day + "  laptop  docs: edit a\\tb  (a\\tb, 10 B)\n" +
		"cccccccccccc  " + day + "  nas  docs: delete  (deleted)\n"
	if f.stdout.String() != want {
		t.Errorf("got\n%swant\n%s", &f.stdout, want)
	}
	f.run("log", "--json")
	if f.api.logged.Path != "" || strings.Count(f.stdout.String(), "\n") != 2 {
		t.Errorf("asked %+v, got\n%s", f.api.logged, &f.stdout)
	}
}

func TestTagSortsArguments(t *testing.T) {
	f := newFixture(t)
	mkfiles(t, f.base, "docs/", "docs/a.txt", "docs/b.txt", "docs/work")
	elsewhere := t.TempDir()
	mkfiles(t, elsewhere, "work", "x.txt")
	f.serve(true)
	docs := filepath.Join(f.base, "docs")
	for _, c := range []struct {
		cwd   string
		args  []string
		code  int
		paths []string
		tags  []string
	}{
		{docs, []string{"a.txt", "b.txt", "urgent", "projects/acme"}, exitOK, []string{"docs/a.txt", "docs/b.txt"}, []string{"urgent", "projects/acme"}},
		{docs, []string{"a.txt", "work", "t"}, exitOK, []string{"docs/a.txt", "docs/work"}, []string{"t"}},
		{docs, []string{"-t", "work", "a.txt"}, exitOK, []string{"docs/a.txt"}, []string{"work"}},
		{docs, []string{"../docs/a.txt", "t"}, exitOK, []string{"docs/a.txt"}, []string{"t"}},
		{elsewhere, []string{docs + "/a.txt", "work"}, exitOK, []string{"docs/a.txt"}, []string{"work"}},
		{docs, []string{"-C", f.base, "a.txt", "t"}, exitOK, []string{"docs/a.txt"}, []string{"t"}},
		{elsewhere, []string{"-C", docs, "a.txt", "work", "t"}, exitOK, []string{"docs/a.txt", "docs/work"}, []string{"t"}},
		{elsewhere, []string{"-C", f.base, docs + "/a.txt", elsewhere + "/x.txt", "t"}, exitNotFound, nil, nil},
		{docs, []string{"a.txt", "work"}, exitUsage, nil, nil},
		{docs, []string{"tag", "tag2"}, exitNotFound, nil, nil},
		{docs, []string{"a.txt", "bad\x00name"}, exitUsage, nil, nil},
	} {
		f.cwd, f.api.tagged = c.cwd, backend.TagOptions{}
		code := f.run(append([]string{"tag"}, c.args...)...)
		want := backend.TagOptions{Paths: c.paths, Tags: c.tags}
		if code != c.code || !reflect.DeepEqual(f.api.tagged, want) {
			t.Errorf("tag %q: exit %d, %+v, want %d, %+v\n%s", c.args, code, f.api.tagged, c.code, want, &f.stderr)
		}
	}
	f.cwd = docs
	if code := f.run("untag", "a.txt", "t"); code != exitOK || !f.api.tagged.Remove {
		t.Errorf("untag: exit %d, %+v", code, f.api.tagged)
	}
}

func TestPathsThatAreNone(t *testing.T) {
	f := newFixture(t)
	f.serve(true)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"log", "/etc/passwd"}, "smfs: /etc/passwd: not found in the mirror " + f.base + "\nhint: it is outside"},
		{[]string{"tag", "work"}, "smfs: no path given: work not found\n"},
	} {
		if code := f.run(c.args...); code != exitNotFound || !strings.HasPrefix(f.stderr.String(), c.says) {
			t.Errorf("%q: exit %d: %s", c.args, code, &f.stderr)
		}
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	mkfiles(t, f.base, "a.txt")
	f.serve(true)
	f.api.tagLists = []backend.TagList{{Tags: []string{"work"}, Count: 12}, {Tags: []string{"x"}, Count: 3}}
	if code := f.run("tags"); code != exitOK || f.stdout.String() != "work  12\nx     3\n" || len(f.api.asked) != 0 {
		t.Errorf("exit %d, asked %q:\n%s%s", code, f.api.asked, &f.stdout, &f.stderr)
	}
	f.api.tagLists = []backend.TagList{{Path: "a.txt", Tags: []string{"work", "x"}}}
	if code := f.run("tags", "a.txt"); code != exitOK || f.stdout.String() != "a.txt  work x\n" || !reflect.DeepEqual(f.api.asked, []string{"a.txt"}) {
		t.Errorf("exit %d, asked %q:\n%s%s", code, f.api.asked, &f.stdout, &f.stderr)
	}
}

func TestSyncFindsResources(t *testing.T) {
	f := newFixture(t)
	mkfiles(t, f.base, "docs/", "docs/private/", "photos/")
	err := os.WriteFile(f.mirror().configFile(), []byte("[docs]\n[docs:private]\n[photos]\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(true)
	for _, c := range []struct {
		cwd  string
		args []string
		code int
		want []string
	}{
		{"", nil, exitOK, nil},
		{"photos", nil, exitOK, []string{"photos"}},
		{"photos", []string{"--all"}, exitOK, nil},
		{"docs/private", nil, exitOK, []string{"docs:private"}},
		{"docs", []string{"private", "docs:private", "../photos"}, exitOK, []string{"docs:private", "photos"}},
		{"docs", []string{"nothing"}, exitNotFound, nil},
		{"docs", []string{"/etc"}, exitNotFound, nil},
	} {
		f.cwd, f.api.synced = filepath.Join(f.base, c.cwd), backend.SyncOptions{}
		code := f.run(append([]string{"sync"}, c.args...)...)
		if code != c.code || !reflect.DeepEqual(f.api.synced.Resources, c.want) {
			t.Errorf("in %q: sync %q: exit %d, %q, want %d, %q\n%s", c.cwd, c.args, code, f.api.synced.Resources, c.code, c.want, &f.stderr)
		}
	}
	f.run("sync", "-H", "nas", "-H", "b")
	if !reflect.DeepEqual(f.api.synced.Hosts, []string{"nas", "b"}) {
		t.Errorf("hosts %q", f.api.synced.Hosts)
	}
}

func TestWait(t *testing.T) {
	f := newFixture(t)
	f.serve(true)
	if code := f.run("wait"); code != exitOK || f.api.waited != (backend.WaitOptions{Timeout: 10 * time.Second}) {
		t.Errorf("exit %d, %+v", code, f.api.waited)
	}
	f.api.err = fmt.Errorf("2 files are not mirrored: %w", backend.ErrTimeout)
	if code := f.run("wait", "--mirrored", "--timeout", "1ms"); code != exitTimeout || !f.api.waited.Mirrored {
		t.Errorf("exit %d, %+v", code, f.api.waited)
	}
	if got := f.stderr.String(); got != "smfs: 2 files are not mirrored: timed out\n" {
		t.Errorf("says %q", got)
	}
}

func TestRestore(t *testing.T) {
	f := newFixture(t)
	f.api.content = "old content"
	f.serve(true)
	if code := f.run("restore", "a.txt", "--at", "0123abc"); code != exitOK || f.stdout.String() != "restored 1 from 0123456789ab\n" {
		t.Errorf("exit %d: %s%s", code, &f.stdout, &f.stderr)
	}
	if want := (backend.RestoreOptions{Path: "a.txt", At: "0123abc"}); f.api.restored != want {
		t.Errorf("asked %+v, want %+v", f.api.restored, want)
	}
	if code := f.run("restore", "a.txt", "--to", "-"); code != exitOK || f.stdout.String() != "old content" {
		t.Errorf("exit %d: %s", code, &f.stdout)
	}
	dir := t.TempDir()
	to := filepath.Join(dir, "out")
	if code := f.run("restore", "a.txt", "--to", to); code != exitOK {
		t.Errorf("exit %d: %s", code, &f.stderr)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "old content" {
		t.Errorf("%q, %v", got, err)
	}

	// A failure in the middle leaves what was there.
	f.api.content, f.api.err = "half", fmt.Errorf("blob: %w", backend.ErrDamaged)
	if code := f.run("restore", "a.txt", "--to", to); code != exitDamaged {
		t.Errorf("exit %d", code)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "old content" {
		t.Errorf("after a failure: %q, %v", got, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestConflicts(t *testing.T) {
	f := newFixture(t)
	f.serve(true)
	if code := f.run("conflicts"); code != exitOK || f.stdout.Len() != 0 {
		t.Errorf("exit %d: %s", code, &f.stdout)
	}
	f.api.conflicts = []backend.Conflict{
		{Resource: "docs", Kind: backend.ContentConflict, Path: "a~1.txt", Of: "a.txt", Time: time.Unix(0, 0)},
		{Resource: "docs", Kind: backend.NameConflict, Path: "b2", Of: "b1", Time: time.Unix(0, 0)},
	}
	at := when(time.Unix(0, 0))
	want := "a~1.txt  a.txt           content  " + at + "  docs\nb2       b1              name     " + at + "  docs\n"
	if f.run("conflicts"); !strings.Contains(f.stdout.String(), want) {
		t.Errorf("got\n%s", &f.stdout)
	}
}

func TestPeerAdd(t *testing.T) {
	f := newFixture(t)
	f.serve(true)
	code := f.run("peer", "add", "nas", "ssh://nas/m", "--command", "/opt/smfs", "--join")
	want := backend.PeerSpec{Name: "nas", URL: "ssh://nas/m", Command: "/opt/smfs", Join: true}
	if code != exitOK || f.api.added != want || f.stdout.String() != "added nas, shared: docs\n" {
		t.Errorf("exit %d, %+v: %s%s", code, f.api.added, &f.stdout, &f.stderr)
	}
	f.api.err = backend.WithHint(fmt.Errorf("host key of nas is unknown: %w", backend.ErrRefused), "ssh nas accepts it")
	code = f.run("peer", "add", "nas", "ssh://nas/m")
	if code != exitRefused || f.stderr.String() != "smfs: host key of nas is unknown: refused\nhint: ssh nas accepts it\n" {
		t.Errorf("exit %d: %s", code, &f.stderr)
	}
}
