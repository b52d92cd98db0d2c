package tree

import (
	"os"
	"testing"
	"time"
)

var fixed = time.Unix(1_000_000_000, 7)

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(dir+"/d", 0o755))
	write(t, dir+"/d/"+TempPrefix+"dead", "worth nothing")
	write(t, dir+"/d/"+TempPrefix+"dead"+swapSuffix, "perhaps an edit")
	write(t, dir+"/d/f", "x")
	tr := openTree(t, dir, Options{}, false)
	live := temp(t, tr, "d", "in the making")
	for range 2 { // what is left stays listed
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
	must[Info](t)(tr.Place(live, At("d/g"), Absent()))
	if got := read(t, dir+"/d/g"); got != "in the making" {
		t.Errorf("live temp holds %q", got)
	}
}

func TestRemoveTempsOfDirectories(t *testing.T) {
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
