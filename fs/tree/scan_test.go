package tree

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var fixed = time.Unix(1_000_000_000, 7)

func TestScanOrderAndSkips(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"b/c", "b-x", "skipped/below"} {
		check(t, os.MkdirAll(dir+"/"+d, 0o755))
	}
	for _, f := range []string{"b/c/f", "b/a", "b/z.tmp", "a", "skipped/f", TempPrefix + "1"} {
		write(t, dir+"/"+f, f)
	}
	check(t, unix.Mkfifo(dir+"/p", 0o600))
	check(t, os.Symlink("b", dir+"/l"))
	skip := func(path string, isDir bool) bool {
		return isDir && path == "skipped" || !isDir && strings.HasSuffix(path, ".tmp")
	}
	tr := openTree(t, dir, Options{Skip: skip}, false)
	var seen []string
	complete, err := tr.Scan(t.Context(), func(path string, info Info) error {
		if now := must[Info](t)(tr.Stat(path)); now != info {
			t.Errorf("%s: scanned %+v, is %+v", path, info, now)
		}
		seen = append(seen, path)
		return nil
	})
	want := "a b b/a b/c b/c/f b-x l p"
	if got := strings.Join(seen, " "); !complete || err != nil || got != want {
		t.Errorf("complete %v, error %v\nsaw  %s\nwant %s", complete, err, got, want)
	}

	stop := errors.New("enough")
	complete, err = tr.Scan(t.Context(), func(string, Info) error { return stop })
	if complete || !errors.Is(err, stop) {
		t.Errorf("stopped scan: complete %v, error %v", complete, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	complete, err = tr.Scan(ctx, func(string, Info) error { cancel(); return nil })
	if complete || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled scan: complete %v, error %v", complete, err)
	}
}

func TestScanSaysWhatItCouldNotSee(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(dir+"/a", 0o755))
	check(t, os.MkdirAll(dir+"/b/c", 0o755))
	var problems []string
	tr := openTree(t, dir, Options{Problem: func(path string, err error) { problems = append(problems, path) }}, false)
	var seen []string
	complete, err := tr.Scan(t.Context(), func(path string, _ Info) error {
		seen = append(seen, path)
		if path == "a" {
			check(t, os.RemoveAll(dir+"/b")) // listed, and gone before it is looked at
		}
		return nil
	})
	if complete || err != nil || strings.Join(seen, " ") != "a" || strings.Join(problems, " ") != "b" {
		t.Errorf("complete %v, error %v, saw %q, problems %q", complete, err, seen, problems)
	}
}

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(dir+"/d", 0o755))
	write(t, dir+"/d/"+TempPrefix+"dead", "worth nothing")
	write(t, dir+"/d/"+TempPrefix+"dead"+swapSuffix, "perhaps an edit")
	write(t, dir+"/d/f", "x")
	tr := openTree(t, dir, Options{}, false)
	live := temp(t, tr, "d", "in the making")
	for range 2 { // what is left stays listed by each scan after
		complete, err := tr.Scan(t.Context(), func(string, Info) error { return nil })
		if !complete || err != nil {
			t.Fatalf("complete %v, error %v", complete, err)
		}
		left, err := tr.RemoveTemps(t.Context())
		if err != nil || len(left) != 1 || left[0] != "d/"+TempPrefix+"dead"+swapSuffix {
			t.Errorf("left over %q, error %v", left, err)
		}
	}
	if list := must[[]Name](t)(tr.ReadDir("d")); len(list) != 1 || list[0].Name != "f" {
		t.Errorf("shown: %v", list)
	}
	if list := must[[]os.DirEntry](t)(os.ReadDir(dir + "/d")); len(list) != 3 {
		t.Errorf("on disk: %v", list)
	}
	must[Info](t)(tr.Place(live, "d/g", Absent()))
	if got := read(t, dir+"/d/g"); got != "in the making" {
		t.Errorf("live temp holds %q", got)
	}
}

func TestRemoveTempsScansByItself(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/"+TempPrefix+"dead", "")
	check(t, os.Mkdir(dir+"/"+TempPrefix+"dir", 0o700))
	tr := openTree(t, dir, Options{}, false)
	left, err := tr.RemoveTemps(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("left over %q, error %v", left, err)
	}
	noTemps(t, dir)
}
