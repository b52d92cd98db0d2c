package merge

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// memory is a Trees in memory.
type memory struct {
	dirs map[object.TreeID]*object.Directory
	read func(object.TreeID) // told of each read, if set
	puts int
	buf  []byte
	// exact gives directories the ids git gives them; else a cheaper hash.
	exact bool
}

func newMemory() *memory { return &memory{dirs: make(map[object.TreeID]*object.Directory)} }

func (m *memory) Directory(id object.TreeID) (*object.Directory, error) {
	if m.read != nil {
		m.read(id)
	}
	d, ok := m.dirs[id]
	if !ok {
		return nil, fmt.Errorf("no directory %s", id)
	}
	return d, nil
}

func (m *memory) PutDirectory(d *object.Directory) (object.TreeID, error) {
	m.puts++
	id, err := m.id(d)
	if err != nil {
		return id, err
	}
	if _, ok := m.dirs[id]; !ok {
		m.dirs[id] = d
	}
	return id, nil
}

func (m *memory) id(d *object.Directory) (object.TreeID, error) {
	if m.exact {
		return object.EncodeDirectory(d, hashSink{})
	}
	b := append(m.buf[:0], 0)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		text(e.Name)
		b = append(b, byte(e.Kind))
		b = append(append(append(append(b, e.ID[:]...), e.Blob[:]...), e.Tree[:]...), e.Conflict[:]...)
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(e.Mode)), e.Mtime)
		b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			text(x.Name)
			text(x.Value)
		}
		b = binary.AppendUvarint(b, uint64(len(e.Tags)))
		for _, t := range e.Tags {
			text(fmt.Sprint(t))
		}
	}
	text(string(d.Options))
	m.buf = b
	return sha1.Sum(b), nil
}

// files describes a tree: path -> "id content [m=755] [t=9] [x=name=value]
// [g=tag@writer:seq] [c=id]". A path that ends in "/" is a directory, its
// description lacks the content; content "->x" makes a symlink. The path
// "#options" is resource.ini. Absent options have their default, as in
// dump's answer; an id that is derived is dumped as "~".
type files map[string]string

// word puts a short word into an id.
func word[T ~[16]byte | ~[20]byte](s string) (id T) {
	b := []byte(s)
	switch p := any(&id).(type) {
	case *object.FileID:
		copy(p[:], b)
	case *object.BlobID:
		copy(p[:], b)
	case *object.CommitID:
		copy(p[:], b)
	case *object.TreeID:
		copy(p[:], b)
	}
	return id
}

func (m *memory) build(t testing.TB, f files) object.TreeID {
	t.Helper()
	return m.buildDir(t, f, "")
}

func (m *memory) buildDir(t testing.TB, f files, prefix string) object.TreeID {
	t.Helper()
	d := &object.Directory{}
	for path, spec := range f {
		rest, ok := strings.CutPrefix(path, prefix)
		name, below, _ := strings.Cut(rest, "/")
		switch {
		case !ok || rest == "" || below != "":
		case path == "#options":
			d.Options = []byte(spec)
		default:
			e := parseEntry(t, spec, strings.HasSuffix(path, "/"))
			e.Name = name
			if e.Kind == object.Dir {
				e.Tree = m.buildDir(t, f, path)
			}
			d.Entries = append(d.Entries, e)
		}
	}
	slices.SortFunc(d.Entries, func(a, b object.Entry) int { return strings.Compare(a.Name, b.Name) })
	id, err := m.PutDirectory(d)
	if err != nil {
		t.Fatalf("build %q: %v", prefix, err)
	}
	return id
}

func parseEntry(t testing.TB, spec string, dir bool) object.Entry {
	t.Helper()
	f := strings.Fields(spec)
	e := object.Entry{ID: word[object.FileID](f[0]), Kind: object.File, Mode: 0o644}
	if f[0] == "COPY" { // of f's version "dos"
		dos := word[object.BlobID]("dos")
		e.ID = derive("copy", word[object.FileID]("f"), string(dos[:]))
	}
	f = f[1:]
	if dir {
		e.Kind, e.Mode = object.Dir, 0o755
	} else {
		if strings.HasPrefix(f[0], "->") {
			e.Kind, e.Mode = object.Symlink, 0
		}
		e.Blob = word[object.BlobID](f[0])
		f = f[1:]
	}
	for _, o := range f {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "m":
			mode, _ := strconv.ParseUint(v, 8, 32)
			e.Mode = uint32(mode)
		case "t":
			e.Mtime, _ = strconv.ParseInt(v, 10, 64)
		case "x":
			name, value, _ := strings.Cut(v, "=")
			e.Xattrs = append(e.Xattrs, object.Xattr{Name: "user." + name, Value: value})
		case "g":
			name, dot, _ := strings.Cut(v, "@")
			w, seq, _ := strings.Cut(dot, ":")
			n, _ := strconv.ParseUint(seq, 10, 64)
			e.Tags = append(e.Tags, tags.Tag{Name: name, Dots: []tags.Dot{{Writer: w, Seq: n}}})
		case "c":
			e.Conflict = word[object.FileID](v)
		default:
			t.Fatalf("entry %q: unknown option %q", spec, o)
		}
	}
	return e
}

func (m *memory) dump(t testing.TB, id object.TreeID) files {
	t.Helper()
	f := files{}
	m.walk(t, id, "", func(path string, e *object.Entry) {
		if e.Kind == object.Dir {
			path += "/"
		}
		f[path] = describe(e)
	})
	d, err := readDirectory(m, id)
	if err != nil {
		t.Fatal(err)
	}
	if d.Options != nil {
		f["#options"] = string(d.Options)
	}
	return f
}

func (m *memory) walk(t testing.TB, id object.TreeID, prefix string, fn func(path string, e *object.Entry)) {
	t.Helper()
	d, err := readDirectory(m, id)
	if err != nil {
		t.Fatalf("%q: %v", prefix, err)
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		fn(prefix+e.Name, e)
		if e.Kind == object.Dir {
			m.walk(t, e.Tree, prefix+e.Name+"/", fn)
		}
	}
}

func describe(e *object.Entry) string {
	out := unword(e.ID[:])
	mode := uint32(0o755)
	if e.Kind != object.Dir {
		out += " " + unword(e.Blob[:])
		mode = 0o644
	}
	if e.Kind != object.Symlink && e.Mode != mode {
		out += fmt.Sprintf(" m=%o", e.Mode)
	}
	if e.Mtime != 0 {
		out += fmt.Sprintf(" t=%d", e.Mtime)
	}
	for _, x := range e.Xattrs {
		out += " x=" + strings.TrimPrefix(x.Name, "user.") + "=" + x.Value
	}
	for _, tag := range e.Tags {
		for _, d := range tag.Dots {
			out += fmt.Sprintf(" g=%s@%s:%d", tag.Name, d.Writer, d.Seq)
		}
	}
	if !e.Conflict.IsZero() {
		out += " c=" + unword(e.Conflict[:])
	}
	return out
}

func unword(id []byte) string {
	s := strings.TrimRight(string(id), "\x00")
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return "~"
		}
	}
	return s
}

func (f files) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(&b, "\t%-24s %s\n", path, f[path])
	}
	return b.String()
}

// copyName is conflictName for content given as a word.
func copyName(name, content string) string {
	id := word[object.BlobID](content)
	stem, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		stem, ext = name[:i], name[i:]
	}
	return stem + ".conflict-" + hex.EncodeToString(id[:4]) + ext
}

// The sides of most tests: A has the lower commit id.
const (
	writerA = "keyA.1"
	writerB = "keyB.1"
)

func sideA(tree object.TreeID) Side {
	return Side{word[object.CommitID]("A"), tree, object.Cover{{Writer: writerA, Seq: 9, Commit: word[object.CommitID]("A")}, {Writer: "w.0", Seq: 9, Commit: word[object.CommitID]("w")}}}
}

func sideB(tree object.TreeID) Side {
	return Side{word[object.CommitID]("B"), tree, object.Cover{{Writer: writerB, Seq: 9, Commit: word[object.CommitID]("B")}, {Writer: "w.0", Seq: 9, Commit: word[object.CommitID]("w")}}}
}

// mergeFunc is merge, or a broken variant that a check must catch.
type mergeFunc func(t Trees, base object.TreeID, a, b Side) (Result, error)

func realMerge(t Trees, base object.TreeID, a, b Side) (Result, error) {
	return merge(context.Background(), t, base, a, b)
}
