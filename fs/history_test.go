package fs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeHistory is a history in memory.
type fakeHistory struct {
	mu    sync.Mutex
	times map[string]*fakePast
}

func (f *fakeHistory) Times(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.times {
		names = append(names, name)
	}
	return names, nil
}

func (f *fakeHistory) At(_ context.Context, name string) (Past, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.times[name]; p != nil {
		return p, nil
	}
	return nil, os.ErrNotExist
}

// set has a name stand for a tree.
func (f *fakeHistory) set(name string, root *fakePast) {
	f.mu.Lock()
	defer f.mu.Unlock()
	root.number(name)
	f.times[name] = root
}

// fakePast is something of the past: a directory, a file, or a symlink.
type fakePast struct {
	info  PastInfo
	below map[string]*fakePast
	text  string
	err   error // of reading it, until it is mended

	mended atomic.Bool
}

const pastTimeNS = 1_700_000_000_123_456_789

func pastFileOf(text string) *fakePast {
	return &fakePast{text: text, info: PastInfo{Mode: unix.S_IFREG | 0o644, Size: int64(len(text)), Mtime: pastTimeNS}}
}

func pastDirOf(below map[string]*fakePast) *fakePast {
	return &fakePast{below: below, info: PastInfo{Mode: unix.S_IFDIR | 0o755, Mtime: pastTimeNS}}
}

// number gives directories identities by their path and content, files by theirs.
func (p *fakePast) number(path string) {
	h := sha256.New()
	fmt.Fprint(h, p.info.Mode, p.text)
	for name, c := range p.below {
		c.number(path + "/" + name)
	}
	if p.below != nil {
		fmt.Fprint(h, path, p.contents())
	}
	p.info.ID = [16]byte(h.Sum(nil)[:16])
}

func (p *fakePast) contents() string {
	var all []string
	for name, c := range p.below {
		all = append(all, name+c.text+c.contents())
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (p *fakePast) Info() PastInfo { return p.info }

func (p *fakePast) Lookup(name string) (Past, error) {
	if c := p.below[name]; c != nil {
		return c, nil
	}
	return nil, os.ErrNotExist
}

func (p *fakePast) List() ([]PastName, error) {
	var list []PastName
	for name, c := range p.below {
		list = append(list, PastName{name, c.info.Mode, c.info.ID})
	}
	return list, p.failure()
}

func (p *fakePast) failure() error {
	if p.mended.Load() {
		return nil
	}
	return p.err
}

func (p *fakePast) Readlink() ([]byte, error) { return []byte(p.text), p.failure() }

func (p *fakePast) Open() (PastFile, error) { return fakeContent{p}, nil }

type fakeContent struct{ p *fakePast }

func (c fakeContent) ReadAt(b []byte, off int64) (int, error) {
	if err := c.p.failure(); err != nil {
		return 0, err
	}
	return strings.NewReader(c.p.text).ReadAt(b, off)
}

func (fakeContent) Close() error { return nil }

// pastScene is what a mutation finds, see mutation.
func pastScene() *fakePast {
	other := pastFileOf("other content")
	other.info.Xattrs = []PastXattr{{"user.had", "it"}, {"user.z", ""}}
	link := pastFileOf("file")
	link.info.Mode = unix.S_IFLNK | 0o777
	return pastDirOf(map[string]*fakePast{
		"file": pastFileOf("content"), "other": other, "link": link, "hard": pastFileOf("twin"), "twin": pastFileOf("twin"),
		"dir": pastDirOf(map[string]*fakePast{}), "full": pastDirOf(map[string]*fakePast{"inside": pastFileOf("in")}),
	})
}

func withHistory(h *fakeHistory) setup {
	return setup{options: func(_ *world, o *Options) { o.History = h }}
}

func TestHistoryView(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	eachPathWith(t, withHistory(h), func(w *world) {
		h.set(latestName, pastScene())
		h.set("2026-11-20", pastScene())
		h.set("by id", pastDirOf(map[string]*fakePast{"\xff\n": pastFileOf("bytes")}))
		if to, err := os.Readlink(w.path(historyName)); to != ".smfs/history" || err != nil {
			w.t.Errorf("@history leads to %q, %v", to, err)
		}
		if got := w.list(""); !slices.Contains(got, historyName) || slices.Contains(got, tagsName) {
			w.t.Errorf("the root lists %q", got)
		}
		if got := w.list("@history/"); !slices.Equal(got, []string{"2026-11-20", "by id", latestName}) {
			w.t.Errorf("times %q", got)
		}
		if got := w.list("@history/by id"); !slices.Equal(got, []string{"\xff\n"}) {
			w.t.Errorf("names %q", got)
		}
		_, err := os.Stat(w.path("@history/never"))
		wantErrno(w.t, "a time that is none", err, unix.ENOENT)
		_, err = os.Stat(w.path("@history/latest/none"))
		wantErrno(w.t, "a name that was not there", err, unix.ENOENT)
		if got := w.read("@history/latest/full/inside"); got != "in" {
			w.t.Errorf("reads %q", got)
		}
		if to, err := os.Readlink(w.path("@history/latest/link")); to != "file" || err != nil {
			w.t.Errorf("the link leads to %q, %v", to, err)
		}
		st, owner := stat(w.t, w.path("@history/latest/file")), stat(w.t, w.below())
		if st.Mode != unix.S_IFREG|0o444 || st.Size != 7 || st.Mtim.Nano() != pastTimeNS || st.Uid != owner.Uid || st.Gid != owner.Gid {
			w.t.Errorf("stat %+v", st)
		}
		if st := stat(w.t, w.path("@history/latest/full")); st.Mode != unix.S_IFDIR|0o555 || st.Mtim.Nano() != pastTimeNS {
			w.t.Errorf("stat of a directory %+v", st)
		}
		for path, mode := range map[string]uint32{".smfs/history": 0o500, ".smfs/history/latest": 0o555} {
			if st := stat(w.t, w.path(path)); st.Mode&0o7777 != mode {
				w.t.Errorf("%s has mode %o", path, st.Mode)
			}
		}
		w.checkDirents(".smfs/history")
		w.checkDirents(".smfs/history/latest")
		if a, b := stat(w.t, w.path("@history/latest/file")), stat(w.t, w.path("@history/2026-11-20/file")); a.Ino != b.Ino || a.Ino>>63 != 1 {
			w.t.Errorf("a file that did not change has the numbers %d and %d", a.Ino, b.Ino)
		}
		if a, b := stat(w.t, w.path("@history/latest/full")), stat(w.t, w.path("@history/2026-11-20/full")); a.Ino == b.Ino {
			w.t.Errorf("two directories have the number %d", a.Ino)
		}
		w.checkPastXattrs("@history/latest/other")
	})
}

func (w *world) checkPastXattrs(path string) {
	w.t.Helper()
	b := make([]byte, 100)
	n, err := unix.Listxattr(w.path(path), b)
	must(w.t, err)
	if got := string(b[:n]); got != "user.had\x00user.z\x00" {
		w.t.Errorf("attributes %q", got)
	}
	n, err = unix.Getxattr(w.path(path), "user.had", b)
	must(w.t, err)
	if got := string(b[:n]); got != "it" {
		w.t.Errorf("user.had is %q", got)
	}
	_, err = unix.Getxattr(w.path(path), "user.had", b[:1])
	wantErrno(w.t, "with too little room", err, unix.ERANGE)
	_, err = unix.Getxattr(w.path(path), "user.none", b)
	wantErrno(w.t, "an attribute that is not there", err, unix.ENODATA)
}

// TestHistoryIsReadOnly tries everything that changes something.
func TestHistoryIsReadOnly(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	eachPathWith(t, withHistory(h), func(w *world) {
		h.set(latestName, pastScene())
		w.write("live", "text")
		must(w.t, os.Mkdir(w.path("live dir"), 0o755))
		all := mutations()
		for _, move := range [][2]string{
			{"../../../live", "new"}, {"../../../live", "file"}, {"../../../live dir", "dir"}, {"file", "../../../new"},
			{"file", "../../../live"}, {"full", "../../../new"}, {"../latest", "../new"}, {"../latest/file", "../x"},
		} {
			all = append(all, mutation{name: fmt.Sprint("rename ", move), do: renaming2(move[0], move[1], 0)})
		}
		all = append(all,
			mutation{name: "exchange with a file that is", do: renaming2("../../../live", "file", unix.RENAME_EXCHANGE)},
			mutation{name: "link a file that was", do: func(d string) error { return os.Link(d+"/file", d+"/../../../new") }},
			mutation{name: "link a file that is", do: func(d string) error { return os.Link(d+"/../../../live", d+"/new") }},
			mutation{name: "make a time", do: func(d string) error { return os.Mkdir(d+"/../new", 0o755) }},
			mutation{name: "remove a time", do: func(d string) error { return unix.Rmdir(d + "/../latest") }},
			mutation{name: "access to write", do: func(d string) error { return unix.Access(d+"/file", unix.W_OK) }},
		)
		d := w.path(".smfs/history/latest")
		for _, m := range all {
			err := m.do(d)
			e, _ := asErrno(err)
			switch {
			case e == unix.EROFS, m.errno != 0 && e == m.errno:
			case os.Geteuid() != 0 && e == unix.EACCES: // the kernel has looked at the mode first
			case os.Geteuid() == 0 && m.name == "access to write" && err == nil && !w.m.alone: // likewise
			default:
				w.t.Errorf("%s: %v", m.name, err)
			}
		}
		if got := w.list(""); slices.Contains(got, "new") || w.read("live") != "text" || w.read("@history/latest/file") != "content" {
			w.t.Errorf("something has changed: %q", got)
		}
	})
}

// TestHistoryMoves: what a name stands for changes, and what is open stays.
func TestHistoryMoves(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	eachPathWith(t, withHistory(h), func(w *world) {
		version := func(i int) *fakePast {
			text := fmt.Sprint("version ", i)
			return pastDirOf(map[string]*fakePast{"d": pastDirOf(map[string]*fakePast{"f": pastFileOf(text), text: pastFileOf("")}), "same": pastFileOf("same")})
		}
		h.set(latestName, version(0))
		f, err := os.Open(w.path("@history/latest/d/f"))
		must(w.t, err)
		defer f.Close()
		dir, err := unix.Open(w.path("@history/latest/d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(w.t, err)
		defer unix.Close(dir)
		same := stat(w.t, w.path("@history/latest/same")).Ino
		at := stat(w.t, w.path("@history/latest")).Ino
		for i := range 20 {
			h.set(latestName, version(i))
			want := fmt.Sprint("version ", i)
			if got := w.read("@history/latest/d/f"); got != want {
				w.t.Errorf("reads %q, not %q", got, want)
			}
			if got := w.list("@history/latest/d"); !slices.Contains(got, want) {
				w.t.Errorf("lists %q, without %q", got, want)
			}
			if got := stat(w.t, w.path("@history/latest/same")).Ino; got != same {
				w.t.Errorf("a file that did not change had the number %d and has %d", same, got)
			}
			if got := stat(w.t, w.path("@history/latest")).Ino; got != at {
				w.t.Errorf("latest had the number %d and has %d", at, got)
			}
		}
		if got, err := io.ReadAll(f); string(got) != "version 0" || err != nil {
			w.t.Errorf("what is open reads %q, %v", got, err)
		}
		var st unix.Stat_t
		must(w.t, unix.Fstatat(dir, "f", &st, 0))
		must(w.t, unix.Fstatat(dir, "version 0", &st, 0))
	})
}

// TestHistoryDamaged: what cannot be read is EIO, and told once.
func TestHistoryDamaged(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	var log syncBuffer
	s := setup{options: func(w *world, o *Options) {
		o.History = h
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	}}
	eachPathWith(t, s, func(w *world) {
		log.Reset()
		root := pastScene()
		root.below["file"].err = errors.New("object 1 is damaged")
		root.below["full"].err = errors.New("object 2 is damaged")
		root.below["link"].err = errors.New("object 3 is damaged")
		h.set(latestName, root)
		for range 3 {
			_, err := os.ReadFile(w.path("@history/latest/file"))
			wantErrno(w.t, "read", err, unix.EIO)
			_, err = os.ReadDir(w.path("@history/latest/full"))
			wantErrno(w.t, "list", err, unix.EIO)
			_, err = os.Readlink(w.path("@history/latest/link"))
			wantErrno(w.t, "readlink", err, unix.EIO)
		}
		if got := w.read("@history/latest/other"); got != "other content" {
			w.t.Errorf("the rest reads %q", got)
		}
		if got := w.list("@history/latest"); len(got) != len(root.below) {
			w.t.Errorf("lists %q", got)
		}
		for i := 1; i <= 3; i++ {
			if n := strings.Count(log.String(), fmt.Sprintf("object %d is damaged", i)); n != 1 {
				w.t.Errorf("told %d times of object %d:\n%s", n, i, log.String())
			}
		}
		root.below["file"].mended.Store(true)
		if got := w.read("@history/latest/file"); got != "content" {
			w.t.Errorf("once mended it reads %q", got)
		}
	})
}

// syncBuffer is a log in memory.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

// TestHistoryForgets walks through more times than the kernel may know of, while a
// program stays in one of them.
func TestHistoryForgets(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	const most = 400
	s := setup{options: func(w *world, o *Options) { o.History, o.maxPast = h, most }}
	eachPathWith(t, s, func(w *world) {
		for i := range 100 {
			root := pastDirOf(map[string]*fakePast{})
			for j := range 30 {
				root.below[fmt.Sprint("d", j)] = pastDirOf(map[string]*fakePast{"f": pastFileOf(fmt.Sprint("file ", i, " ", j))})
			}
			h.set(fmt.Sprint("time ", i), root)
		}
		stays, err := unix.Open(w.path("@history/time 0/d0"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(w.t, err)
		defer unix.Close(stays)
		for i := range 100 {
			for j := range 30 {
				if got, want := w.read(fmt.Sprintf("@history/time %d/d%d/f", i, j)), fmt.Sprint("file ", i, " ", j); got != want {
					w.t.Errorf("reads %q, not %q", got, want)
				}
			}
			if i%10 == 9 {
				runtime.GC()
			}
		}
		var st unix.Stat_t
		must(w.t, unix.Fstatat(stays, "f", &st, 0))
		history := w.m.views.history
		for start := time.Now(); history.known.Load() > 2*most; time.Sleep(10 * time.Millisecond) {
			runtime.GC()
			if time.Since(start) > 20*time.Second {
				w.t.Fatalf("%d nodes are kept of 6000", history.known.Load())
			}
		}
	})
}

// TestBirthTimeAfterViews: that the views have none to tell is no reason for the
// kernel to ask for none any more.
func TestBirthTimeAfterViews(t *testing.T) {
	h := &fakeHistory{times: make(map[string]*fakePast)}
	eachPathWith(t, withHistory(h), func(w *world) {
		h.set(latestName, pastScene())
		w.write("f", "")
		var st unix.Statx_t
		for _, path := range []string{".smfs", ".smfs/control", ".smfs/history", "@history/latest/file"} {
			must(w.t, unix.Statx(unix.AT_FDCWD, w.path(path), unix.AT_STATX_FORCE_SYNC, unix.STATX_ALL, &st))
			if st.Mask&unix.STATX_BTIME != 0 || st.Ino != stat(w.t, w.path(path)).Ino {
				w.t.Errorf("%s: statx %+v", path, st)
			}
		}
		must(w.t, unix.Statx(unix.AT_FDCWD, w.path("f"), 0, unix.STATX_ALL, &st))
		if st.Mask&unix.STATX_BTIME == 0 {
			w.t.Error("no birth time")
		}
	})
}
