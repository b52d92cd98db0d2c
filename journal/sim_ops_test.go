package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// entry is a file or directory of a simulated file system. Like the kernel's,
// its operations act on a directory they hold, wherever that is by then.
type entry struct {
	up      *entry
	name    string
	version int
	kids    map[string]*entry // nil for a file
}

func (e *entry) path() string {
	if e.up == nil {
		return ""
	}
	return join(e.up.path(), e.name)
}

func (e *entry) put(name string, kid *entry) {
	kid.up, kid.name = e, name
	e.kids[name] = kid
}

func (e *entry) at(path string) *entry {
	for path != "" && e != nil {
		var name string
		name, path = firstName(path)
		e = e.kids[name]
	}
	return e
}

func (e *entry) attached(root *entry) bool {
	for ; e.up != nil; e = e.up {
		if e.up.kids[e.name] != e {
			return false
		}
	}
	return e == root
}

// committed is what the engine knows of a name: the inode and its content.
type committed struct {
	id      *entry
	version int
}

// world is a file system under a journal, with an engine that commits it.
type world struct {
	rnd     *rand.Rand
	files   *simFiles
	j       *Journal
	root    *entry
	dirs    []*entry
	index   map[*entry]map[string]committed
	running []*running
	looked  []Mark
	todo    []Mark
	trace   []string
}

// running is an operation between its Begin and its End.
type running struct {
	op    *Op
	locks []*entry
	act   func() (moved bool)
	acted bool
	moved bool // a rename that succeeded, and no exchange
}

func newWorld(rnd *rand.Rand) (*world, error) {
	w := &world{rnd: rnd, files: newSimFiles(rnd), root: &entry{kids: map[string]*entry{}}, index: map[*entry]map[string]committed{}}
	w.dirs = []*entry{w.root}
	w.index[w.root] = map[string]committed{}
	var err error
	w.j, err = open(w.files, Options{SegmentSize: 3000})
	return w, err
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// locked reports whether a running operation holds one of dirs, as the kernel
// does; renames between directories also exclude each other.
func (w *world) locked(dirs ...*entry) bool {
	for _, r := range w.running {
		if len(dirs) > 1 && len(r.locks) > 1 {
			return true
		}
		for _, d := range dirs {
			if slices.Contains(r.locks, d) {
				return true
			}
		}
	}
	return false
}

var someNames = []string{"a", "b", "c"}

// begin starts a random operation.
func (w *world) begin() {
	dir, name := pick(w.rnd, w.dirs), pick(w.rnd, someNames)
	if !dir.attached(w.root) || w.locked(dir) || len(w.running) > 4 {
		return
	}
	path := join(dir.path(), name)
	switch w.rnd.IntN(6) {
	case 0, 1: // create, or change what is there
		w.start(Record{Kind: KindCreate, Path: path}, []*entry{dir}, func() bool {
			if e := dir.kids[name]; e == nil {
				dir.put(name, &entry{version: w.rnd.Int()})
			} else {
				e.version = w.rnd.Int()
			}
			return false
		})
	case 2:
		w.start(Record{Kind: KindMkdir, Path: path}, []*entry{dir}, func() bool {
			if dir.kids[name] == nil && strings.Count(path, "/") < 3 {
				e := &entry{kids: map[string]*entry{}}
				dir.put(name, e)
				w.dirs = append(w.dirs, e)
			}
			return false
		})
	case 3:
		w.start(Record{Kind: KindUnlink, Path: path}, []*entry{dir}, func() bool {
			if e := dir.kids[name]; e != nil && len(e.kids) == 0 {
				delete(dir.kids, name)
			}
			return false
		})
	default:
		w.beginRename(dir, name, path)
	}
}

func (w *world) beginRename(dir *entry, name, path string) {
	if e := pick(w.rnd, w.dirs); w.rnd.IntN(2) == 0 && e != w.root && e.attached(w.root) && !w.locked(e.up) {
		dir, name, path = e.up, e.name, e.path() // a directory, and what is below it
	}
	to, toName := pick(w.rnd, w.dirs), pick(w.rnd, someNames)
	locks := []*entry{dir}
	if to != dir {
		locks = []*entry{dir, to}
	}
	toPath := join(to.path(), toName)
	if !to.attached(w.root) || w.locked(locks...) || below(path, toPath) || below(toPath, path) {
		return
	}
	exchange := w.rnd.IntN(3) == 0
	w.start(Record{Kind: KindRename, Path: path, To: toPath}, locks, func() bool {
		e, there := dir.kids[name], to.kids[toName]
		switch {
		case e == nil, exchange && there == nil, !exchange && there != nil && len(there.kids) > 0:
		case exchange:
			to.put(toName, e)
			dir.put(name, there)
		default:
			delete(dir.kids, name)
			to.put(toName, e)
			return true
		}
		return false
	})
}

func (w *world) start(r Record, locks []*entry, act func() (moved bool)) {
	r.Resource = "r"
	op, err := w.j.Begin(r)
	w.log("begin %p %s %s %s: %v", op, r.Kind, r.Path, r.To, err)
	if err == nil {
		w.running = append(w.running, &running{op: op, locks: locks, act: act})
	}
}

// proceed lets a running operation act, or end.
func (w *world) proceed() {
	if len(w.running) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.running))
	r := w.running[i]
	if !r.acted {
		w.log("act %p", r.op)
		r.moved = r.act()
		r.acted = true
		return
	}
	w.log("end %p", r.op)
	if r.moved {
		r.op.EndMoved()
	} else {
		r.op.End(nil)
	}
	w.running = slices.Delete(w.running, i, i+1)
}

// engine takes marks, looks at one, or clears those it has looked at.
func (w *world) engine() {
	switch {
	case w.todo == nil && w.looked == nil:
		w.todo = slices.DeleteFunc(w.j.Snapshot("r"), func(m Mark) bool { return m.Busy })
		w.rnd.Shuffle(len(w.todo), func(i, k int) { w.todo[i], w.todo[k] = w.todo[k], w.todo[i] })
		w.todo = w.todo[:w.rnd.IntN(len(w.todo)+1)]
		w.log("snapshot")
	case len(w.todo) > 0:
		w.log("look %s", w.todo[0].Path)
		w.look(w.todo[0].Path)
		w.looked = append(w.looked, w.todo[0])
		w.todo = w.todo[1:]
	default:
		w.log("clear")
		w.j.Clear("r", w.looked)
		w.looked, w.todo = nil, nil
	}
}

// look commits what is at path now.
func (w *world) look(path string) {
	dir, name := w.root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = w.root.at(path[:i]), path[i+1:]
	}
	if dir == nil || dir.kids == nil {
		return
	}
	e := dir.kids[name]
	if e == nil {
		delete(w.indexOf(dir), name)
		return
	}
	known := w.known(e)
	w.indexOf(dir)[name] = committed{e, e.version}
	if e.kids != nil && !known {
		w.walk(e)
	}
}

func (w *world) indexOf(dir *entry) map[string]committed {
	if w.index[dir] == nil {
		w.index[dir] = map[string]committed{}
	}
	return w.index[dir]
}

// known reports whether the index leads from the root to dir.
func (w *world) known(dir *entry) bool {
	seen := map[*entry]bool{w.root: true}
	for todo := []*entry{w.root}; len(todo) > 0; todo = todo[1:] {
		for _, c := range w.index[todo[0]] {
			if !seen[c.id] {
				seen[c.id] = true
				todo = append(todo, c.id)
			}
		}
	}
	return seen[dir]
}

// walk commits all below a directory that was unknown.
func (w *world) walk(dir *entry) {
	w.index[dir] = map[string]committed{}
	for name, e := range dir.kids {
		w.index[dir][name] = committed{e, e.version}
		if e.kids != nil {
			w.walk(e)
		}
	}
}

// check compares the file system with the index: every name that differs must
// be marked.
func (w *world) check(j *Journal) error {
	marked := map[string]bool{}
	for _, m := range j.Snapshot("r") {
		marked[m.Path] = true
	}
	return w.checkDir(w.root, marked)
}

func (w *world) checkDir(dir *entry, marked map[string]bool) error {
	names := maps.Clone(w.index[dir])
	for name, e := range dir.kids {
		if e.kids != nil && w.known(e) {
			if err := w.checkDir(e, marked); err != nil {
				return err
			}
		}
		if c := names[name]; c.id == e && c.version == e.version {
			delete(names, name)
		} else {
			if names == nil {
				names = map[string]committed{}
			}
			names[name] = committed{e, e.version}
		}
	}
	for name := range names {
		if path := join(dir.path(), name); !marked[path] {
			return fmt.Errorf("%q differs and is not marked", path)
		}
	}
	return nil
}

// TestNothingIsMissed runs random operations, several at a time, against an
// engine that looks and clears in between: at every moment each difference is
// marked, in this process and for one that starts after a kill.
func TestNothingIsMissed(t *testing.T) {
	for _, seed := range seeds(t) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		w, err := newWorld(rnd)
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			switch rnd.IntN(5) {
			case 0:
				w.begin()
			case 1, 2:
				w.proceed()
			default:
				w.engine()
			}
			err := w.check(w.j)
			if err == nil && rnd.IntN(20) == 0 {
				var next *Journal
				if next, err = open(w.files.restart(false), Options{}); err == nil {
					err = w.check(next)
				}
			}
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(w.trace[max(0, len(w.trace)-60):], "\n"))
			}
		}
	}
}
