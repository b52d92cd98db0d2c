package tree

import (
	"os"
	"testing"
)

// TestPutBack stops a Place after its exchange and lets somebody act on the
// slot before it is undone: what they did stands, and nothing is deleted.
func TestPutBack(t *testing.T) {
	for name, c := range map[string]struct {
		act      func(t *testing.T, path string)
		slot     string
		leftover string
	}{
		"nothing":  {func(*testing.T, string) {}, "edited", ""},
		"replaced": {func(t *testing.T, p string) { write(t, p+"2", "newer"); check(t, os.Rename(p+"2", p)) }, "newer", "edited"},
		"removed":  {func(t *testing.T, p string) { check(t, os.Remove(p)) }, "edited", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tr := openTree(t, dir, Options{}, false)
			write(t, dir+"/f", "edited")
			tmp := temp(t, tr, "", "remote")
			check(t, tmp.seal())
			parent := must[*dirRef](t)(tr.openDir("open", ""))
			defer parent.Release()
			p := &placement{t: tr, tmp: tmp, dir: parent, name: "f"}
			check(t, p.rename(tmp.name+swapSuffix))
			check(t, p.exchange())
			c.act(t, dir+"/f")
			check(t, p.putBack())
			check(t, tmp.Discard())
			if got := read(t, dir+"/f"); got != c.slot {
				t.Errorf("slot holds %q, want %q", got, c.slot)
			}
			left := must[[]string](t)(tr.RemoveTemps(t.Context()))
			if c.leftover == "" {
				if len(left) > 0 {
					t.Errorf("left over: %q", left)
				}
				noTemps(t, dir)
				return
			}
			if len(left) != 1 || read(t, dir+"/"+left[0]) != c.leftover {
				t.Errorf("left over: %q", left)
			}
		})
	}
}
