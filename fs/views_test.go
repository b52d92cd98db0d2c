package fs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/tags"
	"golang.org/x/sys/unix"
)

// TestStateDirectory: through the mount, the config can be edited and the store
// read; the rest of the state directory does not exist.
func TestStateDirectory(t *testing.T) {
	prepare := func(dir string) {
		os.WriteFile(filepath.Join(dir, stateDirName, storeName, "HEAD"), []byte("ref: refs/heads/main\n"), 0o644)
	}
	eachPathWith(t, setup{prepare: prepare}, func(w *world) {
		if got := w.list(stateDirName); !slices.Equal(got, []string{configName, storeName}) {
			w.t.Errorf("lists %q", got)
		}
		_, err := os.Stat(w.path(stateDirName, "node.key"))
		wantErrno(w.t, "stat the key", err, unix.ENOENT)

		config := filepath.Join(stateDirName, configName)
		w.write(config, "[docs]\n")
		if got := w.readBelow(config); got != "[docs]\n" {
			w.t.Errorf("the config holds %q", got)
		}
		must(w.t, os.WriteFile(w.below(config), []byte("[other] changed by the daemon\n"), 0o644))
		if got := w.read(config); got != "[other] changed by the daemon\n" {
			w.t.Errorf("the config reads %q", got)
		}
		if r := w.journal.take(); len(r) != 0 {
			w.t.Errorf("journaled: %+v", r)
		}

		if got := w.read(stateDirName + "/store/HEAD"); got != "ref: refs/heads/main\n" {
			w.t.Errorf("HEAD reads %q", got)
		}
		d := w.path(stateDirName)
		for _, c := range []struct {
			name string
			err  error
			want syscall.Errno
		}{
			{"create in the store", creating("store/x", unix.O_WRONLY)(d), unix.EROFS},
			{"write in the store", opening("store/HEAD", unix.O_WRONLY)(d), unix.EROFS},
			{"chmod in the store", os.Chmod(d+"/store/HEAD", 0o600), unix.EROFS},
			{"remove in the store", unix.Unlink(d + "/store/HEAD"), unix.EROFS},
			{"create beside the config", creating("x", unix.O_WRONLY)(d), unix.EPERM},
			{"create under a hidden name", creating("node.key", unix.O_WRONLY)(d), unix.EPERM},
			{"remove the config", unix.Unlink(d + "/config.ini"), unix.EPERM},
			{"remove the store", unix.Rmdir(d + "/store"), unix.EBUSY},
			{"rename the config", renaming2(".silvermirror/config.ini", "x", 0)(w.dir), unix.EPERM},
			{"rename over the config", renaming2("file", ".silvermirror/config.ini", 0)(w.dir), unix.ENOENT},
			{"remove the state directory", unix.Rmdir(d), unix.EPERM},
			{"rename the state directory", renaming2(stateDirName, "x", 0)(w.dir), unix.EPERM},
		} {
			wantErrno(w.t, c.name, c.err, c.want)
		}
	})
}

// TestReservedNames cannot be made by anybody, by any means.
func TestReservedNames(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("file", "")
		for _, name := range []string{tagsName, historyName, smfsName, ".smfs.tmp.1"} {
			for what, do := range map[string]func(string) error{
				"create":  creating(name, unix.O_WRONLY),
				"mkdir":   func(d string) error { return unix.Mkdir(d+"/"+name, 0o755) },
				"symlink": func(d string) error { return os.Symlink("x", d+"/"+name) },
				"link":    func(d string) error { return os.Link(d+"/file", d+"/"+name) },
				"rename":  renaming2("file", name, 0),
				"mkfifo":  func(d string) error { return unix.Mkfifo(d+"/"+name, 0o644) },
			} {
				err := do(w.dir)
				if e, _ := asErrno(err); e != unix.EPERM && !(name == smfsName && e == unix.EEXIST) && !(name == smfsName && what == "rename") {
					w.t.Errorf("%s %s: %v", what, name, err)
				}
			}
			must(w.t, os.Mkdir(w.path("d"+name[1:]), 0o755))
		}
		must(w.t, os.Mkdir(w.path("sub"), 0o755))
		w.write("sub/@tags", "elsewhere it is a name like any other")
		for _, name := range w.list("") {
			if name == smfsName || name == tagsName {
				w.t.Errorf("%s is listed", name)
			}
		}
	})
}

func TestControl(t *testing.T) {
	eachPath(t, func(w *world) {
		if got := w.read(".smfs/control"); got != "/run/smfs/socket\n" {
			w.t.Errorf("reads %q", got)
		}
		if st := stat(w.t, w.path(smfsName)); st.Mode != unix.S_IFDIR|0o700 || st.Uid != stat(w.t, w.below()).Uid {
			w.t.Errorf("mode %o, owner %d", st.Mode, st.Uid)
		}
		wantErrno(w.t, "write", os.WriteFile(w.path(".smfs/control"), nil, 0), asErrnoOr(os.WriteFile(w.path(".smfs/control"), nil, 0), unix.EPERM, unix.EACCES))
	})
}

// asErrnoOr is err's errno if it is one of those, else the first of them.
func asErrnoOr(err error, those ...syscall.Errno) syscall.Errno {
	if e, ok := asErrno(err); ok && slices.Contains(those, e) {
		return e
	}
	return those[0]
}

// fakeTags is a tag view in memory.
type fakeTags struct {
	mu         sync.Mutex
	files      map[string][]tags.Tagged // by query
	generation uint64
}

var errNoQuery = errors.New("no such query")

func (f *fakeTags) Tags(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for tag := range f.files {
		rest, ok := tag, !strings.ContainsAny(tag, ",!")
		if prefix != "" {
			rest, ok = strings.CutPrefix(tag, prefix+"/")
		}
		name, _, _ := strings.Cut(rest, "/")
		if ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *fakeTags) Files(query string) ([]tags.Tagged, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	files, ok := f.files[query]
	if !ok && strings.Contains(query, ",") {
		return nil, errNoQuery
	}
	return files, nil
}

func (f *fakeTags) Generation() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.generation
}

func (f *fakeTags) set(query string, paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation++
	f.files[query] = nil
	for _, p := range paths {
		f.files[query] = append(f.files[query], tags.Tagged{Resource: "mirror", Path: p, ID: "id of " + p})
	}
}

func withTags(view *fakeTags) setup {
	return setup{options: func(_ *world, o *Options) { o.Tags = view }}
}

// TestTagView: a tagged file is in its tag's directory as the file itself.
func TestTagView(t *testing.T) {
	view := &fakeTags{files: make(map[string][]tags.Tagged)}
	eachPathWith(t, withTags(view), func(w *world) {
		must(w.t, os.MkdirAll(w.path("docs/deep"), 0o755))
		w.write("docs/report.txt", "report")
		w.write("docs/deep/report.txt", "deep report")
		w.write("docs/note", "note")
		view.set("work", "docs/report.txt", "docs/deep/report.txt", "docs/deep", "docs/gone")
		view.set("projects/acme", "docs/note")
		view.set("work,urgent", "docs/report.txt")

		if got := w.list("@tags/"); !slices.Equal(got, []string{"projects", "work"}) {
			w.t.Errorf("tags %q", got)
		}
		if got := w.list("@tags/projects/acme"); !slices.Equal(got, []string{"note"}) {
			w.t.Errorf("projects/acme holds %q", got)
		}
		if got := w.list("@tags/work,urgent"); !slices.Equal(got, []string{"report.txt"}) {
			w.t.Errorf("work,urgent holds %q", got)
		}
		_, err := os.Stat(w.path("@tags/work,none"))
		wantErrno(w.t, "a query that makes no sense", err, unix.ENOENT)
		_, err = os.Stat(w.path("@tags/none"))
		wantErrno(w.t, "a tag that is none", err, unix.ENOENT)

		work := w.list("@tags/work")
		if len(work) != 3 || !slices.Contains(work, "report.txt") || !slices.Contains(work, "deep") {
			w.t.Fatalf("work holds %q", work)
		}
		suffixed := work[slices.IndexFunc(work, func(n string) bool { return strings.Contains(n, "~") })]
		if got := w.read("@tags/work/" + suffixed); got != "deep report" || !strings.HasSuffix(suffixed, ".txt") {
			w.t.Errorf("%s reads %q", suffixed, got)
		}
		w.checkLinkCount("@tags/work/report.txt", 1)
		w.checkAlias("@tags/work/report.txt", "docs/report.txt")
		w.checkAlias("@tags/work,urgent/report.txt", "docs/report.txt")
		w.checkAlias("@tags/work/deep/report.txt", "docs/deep/report.txt")
		if to, err := os.Readlink(w.path("@tags/work/deep")); to != "../../../docs/deep" || err != nil {
			w.t.Errorf("tagged directory leads to %q, %v", to, err)
		}
		w.checkDirents(".smfs/tags/work")

		view.set("work")
		if got := w.list("@tags/work"); len(got) != 0 {
			w.t.Errorf("without files, work holds %q", got)
		}
	})
}

// checkAlias checks that two paths are one file, both ways.
func (w *world) checkAlias(alias, path string) {
	w.t.Helper()
	a, b := stat(w.t, w.path(alias)), stat(w.t, w.path(path))
	if a.Ino != b.Ino || a.Dev != b.Dev || a.Nlink < 1 {
		w.t.Errorf("%s is inode %d with %d links, %s %d", alias, a.Ino, a.Nlink, path, b.Ino)
	}
	w.write(alias, "through "+alias)
	if got := w.read(path); got != "through "+alias {
		w.t.Errorf("%s reads %q", path, got)
	}
	w.write(path, "through the path")
	if got := w.read(alias); got != "through the path" {
		w.t.Errorf("%s reads %q", alias, got)
	}
}

// checkLinkCount checks what the kernel was told at the look-up of an alias: one
// link more than there are, so that losing the alias leaves the rest.
func (w *world) checkLinkCount(alias string, links uint32) {
	w.t.Helper()
	var st unix.Statx_t
	must(w.t, unix.Statx(unix.AT_FDCWD, w.path(alias), unix.AT_STATX_DONT_SYNC, unix.STATX_NLINK, &st))
	if st.Nlink != links+1 {
		w.t.Errorf("%s was looked up with %d links, want %d", alias, st.Nlink, links+1)
	}
}

// TestTagViewIsSealed: nothing moves in or out of it, and nobody takes a refusal
// for another filesystem.
func TestTagViewIsSealed(t *testing.T) {
	view := &fakeTags{files: make(map[string][]tags.Tagged)}
	eachPathWith(t, withTags(view), func(w *world) {
		w.write("f", "text")
		w.write("g", "text")
		view.set("work", "f")
		for what, do := range map[string]func(d string) error{
			"create":          creating("@tags/work/x", unix.O_WRONLY),
			"mkdir":           func(d string) error { return unix.Mkdir(d+"/@tags/x", 0o755) },
			"rmdir":           func(d string) error { return unix.Rmdir(d + "/@tags/work") },
			"unlink":          func(d string) error { return unix.Unlink(d + "/@tags/work/f") },
			"symlink":         func(d string) error { return os.Symlink("../f", d+"/@tags/work/x") },
			"link":            func(d string) error { return os.Link(d+"/g", d+"/@tags/work/g") },
			"rename in":       renaming2("g", "@tags/work/g", 0),
			"rename out":      renaming2("@tags/work/f", "x", 0),
			"rename tag":      renaming2("@tags/work", "@tags/x", 0),
			"remove @tags":    func(d string) error { return unix.Unlink(d + "/@tags") },
			"chmod directory": func(d string) error { return os.Chmod(d+"/@tags/work", 0o755) },
			"xattr on it":     func(d string) error { return unix.Setxattr(d+"/@tags/work", "user.k", nil, 0) },
		} {
			wantErrno(w.t, what, do(w.dir), unix.EPERM)
		}
		must(w.t, os.Link(w.path("@tags/work/f"), w.path("another")))
		must(w.t, os.Remove(w.path("f")))
		if got := w.read("another"); got != "text" {
			w.t.Errorf("reads %q", got)
		}
		if to, err := os.Readlink(w.path(tagsName)); to != ".smfs/tags" || err != nil {
			w.t.Errorf("@tags leads to %q, %v", to, err)
		}
		if got := w.list(""); !slices.Contains(got, tagsName) || slices.Contains(got, smfsName) {
			w.t.Errorf("the root lists %q", got)
		}
	})
}
