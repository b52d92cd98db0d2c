package backend_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/chunk"
)

var (
	randomRounds = flag.Int("random.rounds", 6, "histories that TestRandomHistories tries")
	randomSeed   = flag.Uint64("random.seed", 0, "seed of the first history; 0: from the clock")
)

// TestRandomHistories has three mirrors do random things to their files and
// meet at random, and wants them to be equal at the end, with every content
// that nobody overwrote or deleted still somewhere.
func TestRandomHistories(t *testing.T) {
	histories(t, randomHistory)
}

// histories runs a random test as often as -random.rounds says, each time from a
// seed that it prints.
func histories(t *testing.T, test func(t *testing.T, rnd *rand.Rand)) {
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *randomRounds {
		seed := seed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("-random.seed=%d", seed)
			test(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func randomHistory(t *testing.T, rnd *rand.Rand) {
	root := t.TempDir()
	var mirrors []*mirror
	for _, name := range []string{"a", "b", "c"} {
		dir := filepath.Join(root, name)
		must(t, os.Mkdir(dir, 0o755))
		mirrors = append(mirrors, openMirror(t, dir, backend.CommitAtMost([]int{1, 3, 0}[rnd.IntN(3)])))
	}
	h := newHistory(t, rnd)
	for range 60 {
		m := mirrors[rnd.IntN(3)]
		for range 1 + rnd.IntN(5) {
			h.step(m)
		}
		switch rnd.IntN(6) {
		case 0:
			h.note("sync %s", filepath.Base(m.dir))
			m.sync()
		case 1, 2:
			if other := mirrors[rnd.IntN(3)]; other != m {
				h.note("give %s %s", filepath.Base(m.dir), filepath.Base(other.dir))
				m.give(other)
			}
		}
	}
	h.settle(mirrors)
}

// history is random deeds and what must be left of them.
type history struct {
	t     *testing.T
	rnd   *rand.Rand
	dirs  []string // that there may be, all but the root
	n     int
	alive map[string]bool // contents that nobody touched since they were written
	log   []string
}

func newHistory(t *testing.T, rnd *rand.Rand) *history {
	return &history{t: t, rnd: rnd, dirs: []string{"a", "b", "a/c", "b/d", "e"}, alive: map[string]bool{}}
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) showIfFailed() {
	if h.t.Failed() {
		h.t.Logf("history:\n%s", strings.Join(h.log, "\n"))
	}
}

// settle has all mirrors meet and checks what has become of everything.
func (h *history) settle(mirrors []*mirror) {
	t := h.t
	defer h.showIfFailed()
	for range 2 {
		for i, m := range mirrors {
			m.meet(mirrors[(i+1)%len(mirrors)])
		}
	}
	for _, m := range mirrors[1:] {
		same(t, mirrors[0], m)
	}
	all := mirrors[0].list()
	for token := range h.alive {
		if !strings.Contains(all, token) {
			t.Errorf("%s was never overwritten or deleted, and is lost", token)
		}
	}
	for _, m := range mirrors {
		m.wantSettled()
		m.git("fsck", "--strict")
	}
}

func (h *history) path(m *mirror) string {
	dir := ""
	if i := h.rnd.IntN(len(h.dirs) + 1); i > 0 {
		dir = h.dirs[i-1]
	}
	return filepath.Join(m.dir, dir, string(rune('p'+h.rnd.IntN(5))))
}

func (h *history) dir(m *mirror) string {
	return filepath.Join(m.dir, h.dirs[h.rnd.IntN(len(h.dirs))])
}

// kill notes that whatever is at or below a path is overwritten or deleted.
func (h *history) kill(p string) {
	_ = filepath.WalkDir(p, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(p)
			must(h.t, err)
			for _, token := range strings.Fields(string(data)) {
				delete(h.alive, token)
			}
		}
		return nil
	})
}

func (h *history) step(m *mirror) {
	var what string
	var err error
	p, q := h.path(m), h.path(m)
	switch h.rnd.IntN(17) {
	case 0, 1, 2, 3:
		if st, serr := os.Lstat(p); serr == nil && !st.Mode().IsRegular() {
			return
		}
		h.kill(p)
		h.n++
		token := fmt.Sprintf("token%d.", h.n)
		what = "write " + token + " " + p
		if os.MkdirAll(filepath.Dir(p), 0o755) != nil {
			return
		}
		text := token
		if h.rnd.IntN(40) == 0 {
			text += strings.Repeat(" ", chunk.Threshold) // kept in chunks
		}
		if err = os.WriteFile(p, []byte(text), 0o644); err == nil {
			h.alive[token] = true
		}
	case 4:
		if st, serr := os.Lstat(p); serr != nil || !st.Mode().IsRegular() {
			return
		}
		h.kill(p)
		what = "remove " + p
		err = os.Remove(p)
	case 5, 6:
		if _, serr := os.Lstat(p); serr != nil || p == q {
			return
		}
		if os.MkdirAll(filepath.Dir(q), 0o755) != nil {
			return
		}
		if a, aerr := os.Stat(p); aerr == nil {
			if b, berr := os.Stat(q); berr == nil && os.SameFile(a, b) {
				return
			}
		}
		h.kill(q)
		what = "rename " + p + " " + q
		err = os.Rename(p, q)
	case 7, 15, 16:
		from, to := h.dir(m), h.dir(m)
		if from == to || strings.HasPrefix(to, from+"/") {
			return
		}
		if _, serr := os.Lstat(to); serr == nil {
			return
		}
		if _, serr := os.Lstat(from); serr != nil {
			return
		}
		_ = os.MkdirAll(filepath.Dir(to), 0o755)
		what = "rename " + from + " " + to
		err = os.Rename(from, to)
	case 8:
		d := h.dir(m)
		if h.rnd.IntN(4) > 0 {
			return
		}
		h.kill(d)
		what = "remove all " + d
		err = os.RemoveAll(d)
	case 9:
		if _, serr := os.Lstat(q); serr == nil {
			return
		}
		if os.MkdirAll(filepath.Dir(q), 0o755) != nil {
			return
		}
		what = "symlink " + q
		err = os.Symlink("x", q)
	case 10:
		if st, serr := os.Lstat(p); serr != nil || !st.Mode().IsRegular() {
			return
		}
		what = "chmod " + p
		err = os.Chmod(p, []os.FileMode{0o600, 0o644, 0o755}[h.rnd.IntN(3)])
	case 11:
		if st, serr := os.Lstat(p); serr != nil || !st.Mode().IsRegular() {
			return
		}
		if _, serr := os.Lstat(q); serr == nil {
			return
		}
		if os.MkdirAll(filepath.Dir(q), 0o755) != nil {
			return
		}
		what = "link " + p + " " + q
		err = os.Link(p, q)
	case 12: // in place, so at all names of the file
		if st, serr := os.Lstat(p); serr != nil || !st.Mode().IsRegular() {
			return
		}
		h.n++
		token := fmt.Sprintf(" token%d.", h.n)
		what = "append" + token + " " + p
		var f *os.File
		if f, err = os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, err = f.WriteString(token)
			err = errors.Join(err, f.Close())
		}
		if err == nil {
			h.alive[token[1:]] = true
		}
	case 13:
		if st, serr := os.Lstat(p); serr != nil || !st.Mode().IsRegular() {
			return
		}
		what = "attribute " + p
		err = unix.Setxattr(p, "user.test", []byte{'0' + byte(h.rnd.IntN(10))}, 0)
	case 14: // the same on all mirrors
		if st, serr := os.Lstat(p); serr == nil && !st.Mode().IsRegular() {
			return
		}
		h.kill(p)
		if os.MkdirAll(filepath.Dir(p), 0o755) != nil {
			return
		}
		what = "write common " + p
		err = os.WriteFile(p, []byte("common"), 0o644)
	}
	h.note("%s: %v", strings.ReplaceAll(what, filepath.Dir(m.dir)+"/", ""), err)
}
