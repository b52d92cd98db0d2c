package replica

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
)

// world is all objects of a simulation, whoever has them, and what its users
// did. It only grows.
type world struct {
	dirs    map[object.TreeID]*object.Directory
	commits map[object.CommitID]*object.Commit
	merges  map[[2]object.CommitID]object.CommitID
	writes  []write
	next    int // numbers contents and files
	writers int
	clock   int64
	// join makes merges; tests replace it by broken ones.
	join func(w *world, a, b object.CommitID) (*object.Commit, error)
}

// write is one thing a user did.
type write struct {
	commit   object.CommitID
	path     string
	blob     object.BlobID   // what was written, or zero
	replaced []object.BlobID // what the user saw go
}

func newWorld() *world {
	return &world{
		dirs:    make(map[object.TreeID]*object.Directory),
		commits: make(map[object.CommitID]*object.Commit),
		merges:  make(map[[2]object.CommitID]object.CommitID),
		join:    pure,
	}
}

// pure makes merges as nodes do.
func pure(w *world, a, b object.CommitID) (*object.Commit, error) {
	m, err := merge.Commit(context.Background(), w, a, b)
	return m.Commit, err
}

func (w *world) Directory(id object.TreeID) (*object.Directory, error) {
	d, ok := w.dirs[id]
	if !ok {
		return nil, fmt.Errorf("no directory %s", id)
	}
	return d, nil
}

func (w *world) PutDirectory(d *object.Directory) (object.TreeID, error) {
	id, err := object.EncodeDirectory(d, sink{})
	if err == nil {
		w.dirs[id] = d
	}
	return id, err
}

func (w *world) Commit(id object.CommitID) (*object.Commit, error) {
	c, ok := w.commits[id]
	if !ok {
		return nil, fmt.Errorf("no commit %s", id)
	}
	return c, nil
}

type sink struct{}

func (sink) WriteTree(b []byte) (object.TreeID, error) {
	return object.TreeID(object.Hash(object.TypeTree, b)), nil
}

func (sink) WriteBlob(b []byte) (object.BlobID, error) {
	return object.BlobID(object.Hash(object.TypeBlob, b)), nil
}

func (w *world) put(c *object.Commit) object.CommitID {
	data, err := object.EncodeCommit(c)
	if err != nil {
		panic(err)
	}
	id := object.CommitID(object.Hash(object.TypeCommit, data))
	w.commits[id] = c
	return id
}

func (w *world) cover(id object.CommitID) object.Cover {
	if id.IsZero() {
		return nil
	}
	return w.commits[id].FullCover(id)
}

// merged is the merge of two heads, made once.
func (w *world) merged(a, b object.CommitID) object.CommitID {
	if id, ok := w.merges[[2]object.CommitID{a, b}]; ok {
		return id
	}
	c, err := w.join(w, a, b)
	if err != nil {
		panic(err)
	}
	id := w.put(c)
	w.merges[[2]object.CommitID{a, b}] = id
	return id
}

// newWriter is an incarnation that no node had before.
func (w *world) newWriter(node int) object.Writer {
	w.writers++
	return fmt.Sprintf("n%d.%d", node, w.writers)
}

// tick is a time of commit: often that of the one before.
func (w *world) tick(rng *rand.Rand) int64 {
	w.clock += int64(rng.IntN(2))
	return w.clock
}

// yielded records anew what ours has beyond theirs, and merges the two.
func (w *world) yielded(ours, theirs object.CommitID, as object.Writer) (anew, merged object.CommitID) {
	c, err := merge.Anew(w, ours, theirs, as)
	if err != nil {
		panic(err)
	}
	c.Author, c.Email, c.Time = "node", "k@smfs", w.clock
	anew = w.put(c)
	return anew, w.merged(anew, theirs)
}

// reach is what a commit is made of, and itself.
func (w *world) reach(ids ...object.CommitID) map[object.CommitID]bool {
	out := make(map[object.CommitID]bool)
	for len(ids) > 0 {
		id := ids[0]
		if ids = ids[1:]; !id.IsZero() && !out[id] {
			out[id] = true
			ids = append(ids, w.commits[id].Parents...)
		}
	}
	return out
}

// dir is a directory that can be changed.
type dir map[string]*item

type item struct {
	object.Entry
	kids dir
}

func (w *world) load(tree object.TreeID) dir {
	out := dir{}
	if tree.IsZero() {
		return out
	}
	for _, e := range w.dirs[tree].Entries {
		it := &item{Entry: e}
		if e.Kind == object.Dir {
			it.kids = w.load(e.Tree)
		}
		out[e.Name] = it
	}
	return out
}

func (w *world) store(d dir) object.TreeID {
	out := &object.Directory{}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		it := d[name]
		e := it.Entry
		e.Name = name
		if e.Kind == object.Dir {
			e.Tree = w.store(it.kids)
		}
		out.Entries = append(out.Entries, e)
	}
	id, err := w.PutDirectory(out)
	if err != nil {
		panic(err)
	}
	return id
}

// names lists what is below d.
func (d dir) names(prefix string, fn func(in dir, name, path string)) {
	for _, name := range slices.Sorted(maps.Keys(d)) {
		fn(d, name, prefix+name)
		if it := d[name]; it != nil && it.kids != nil {
			it.kids.names(prefix+name+"/", fn)
		}
	}
}

func (d dir) blobs(out map[object.BlobID]string) map[object.BlobID]string {
	d.names("", func(in dir, name, path string) {
		if it := in[name]; it.kids == nil {
			out[it.Blob] = path
		}
	})
	return out
}

// change lets a user do something to d and records it. Contents are unique.
func (w *world) change(rng *rand.Rand, d dir, wr *write) {
	type at struct {
		in   dir
		name string
	}
	var files, dirs []at
	in := []dir{d}
	d.names("", func(p dir, name, _ string) {
		if it := p[name]; it.kids != nil {
			dirs, in = append(dirs, at{p, name}), append(in, it.kids)
		} else {
			files = append(files, at{p, name})
		}
	})
	w.next++
	to := in[rng.IntN(len(in))]
	name := string(rune('a' + rng.IntN(6)))
	taken := to[name] != nil
	switch k := rng.IntN(8); {
	case k <= 2 && len(files) > 0: // edit
		f := files[rng.IntN(len(files))]
		it := f.in[f.name]
		wr.path, wr.replaced = f.name, append(wr.replaced, it.Blob)
		it.Blob, it.Mtime = blobOf(w.next), int64(rng.IntN(20))
		wr.blob = it.Blob
	case k == 3 && len(files) > 0 && !taken: // rename
		f := files[rng.IntN(len(files))]
		to[name] = f.in[f.name]
		delete(f.in, f.name)
	case k == 4 && len(files)+len(dirs) > 3: // delete
		f := slices.Concat(files, dirs)[rng.IntN(len(files)+len(dirs))]
		for b := range (dir{f.name: f.in[f.name]}).blobs(map[object.BlobID]string{}) {
			wr.replaced = append(wr.replaced, b)
		}
		delete(f.in, f.name)
	case k == 5 && !taken: // make a directory
		to[name] = &item{Entry: object.Entry{ID: fileID(w.next), Kind: object.Dir, Mode: 0o755}, kids: dir{}}
	case k == 6 && len(dirs) > 0 && d[name] == nil: // move a directory to the root
		f := dirs[rng.IntN(len(dirs))]
		d[name] = f.in[f.name]
		delete(f.in, f.name)
	case !taken: // create
		wr.path, wr.blob = name, blobOf(w.next)
		to[name] = &item{Entry: object.Entry{ID: fileID(w.next), Kind: object.File, Mode: 0o644, Blob: wr.blob}}
	}
}

func blobOf(n int) (id object.BlobID) {
	copy(id[:], fmt.Sprintf("content %d", n))
	return id
}

func fileID(n int) (id object.FileID) {
	copy(id[:], fmt.Sprintf("file %d", n))
	return id
}
