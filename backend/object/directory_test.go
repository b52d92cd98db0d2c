package object

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/tags"
)

// memory is a Source and a Sink.
type memory map[[20]byte][]byte

func (m memory) WriteTree(b []byte) (TreeID, error) {
	id := Hash(TypeTree, b)
	m[id] = bytes.Clone(b)
	return id, nil
}

func (m memory) WriteBlob(b []byte) (BlobID, error) {
	id := Hash(TypeBlob, b)
	m[id] = bytes.Clone(b)
	return id, nil
}

func (m memory) ReadTree(id TreeID, max int64) ([]byte, error) { return m.read(id, max) }
func (m memory) ReadBlob(id BlobID, max int64) ([]byte, error) { return m.read(id, max) }

func (m memory) read(id [20]byte, max int64) ([]byte, error) {
	b, ok := m[id]
	if !ok || int64(len(b)) > max {
		return nil, errors.New("missing")
	}
	return b, nil
}

func randomID(r *rand.Rand) (id [20]byte) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomFileID(r *rand.Rand) FileID {
	id := randomID(r)
	return FileID(id[:16])
}

var trickyNames = []string{
	".git", ".GIT", ".Git ", ".git.", ".git. .", ".git:stream", "git~1", "GIT~1", "git~2", ".g\u200cit", "\u200d.git", ".git\xff", ".gitmodules",
	".GITMODULES ", "gitmod~1", "GI7EBA~1", "gi~12345", "~1000000", ".gitattributes", "gitatt~3", "gi7d29~9", ".gitignore", ".mailmap", "maba30~1",
	"mailma~1", ".smfs", ".SMFS", "%41", "%2egit", "%zz", "%", "%%41", "a\\.git", "a\\.git\\b", "\\.gitmodules", "\\git~1", "a\\b", "\\", "..a", "...", " ", "a b",
	"new\nline", "tab\t", "\x01", "\x7f", "\xff\xfe", "-", "--", "@", "@tags", "con", "aux.txt", "a:b", "*", "?", "\u00e9", "e\u0301", strings.Repeat("x", 255),
	strings.Repeat("\xf0\x9f\x98\x80", 63), ".gitm\u200codules", ".gitattributes:x", "meta", "resource.ini", "%5c", "a%5cb", "%61\\.git",
	"%41" + strings.Repeat("x", 252), ".git:" + strings.Repeat("s", 250), strings.Repeat("\\.git", 51), "%~" + strings.Repeat("0", 40), "%25~" + strings.Repeat("a", 40),
	"%41" + strings.Repeat("x", 249) + "é",
}

func randomName(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return trickyNames[r.IntN(len(trickyNames))]
	}
	b := make([]byte, 1+r.IntN(20))
	for i := range b {
		for b[i] == 0 || b[i] == '/' {
			b[i] = byte(r.Uint32())
		}
	}
	if CheckName(string(b)) != nil {
		return "x" + string(b)
	}
	return string(b)
}

func randomEntry(r *rand.Rand, name string) Entry {
	e := Entry{Name: name, Kind: Kind(1 + r.IntN(3)), ID: randomFileID(r), Blob: randomID(r)}
	switch e.Kind {
	case Dir:
		e.Tree, e.Blob, e.Mode = TreeID(e.Blob), BlobID{}, []uint32{0o755, 0o700, 0o3777}[r.IntN(3)]
	case File:
		e.Mode = []uint32{0o644, 0o755, 0o600, 0, 0o1777, 0o111, 0o654}[r.IntN(7)]
		if r.IntN(3) == 0 {
			e.Chunks = randomID(r)
		}
	}
	if e.Kind != Dir && r.IntN(4) > 0 {
		e.Mtime = int64(r.Uint64())
	}
	if e.Kind != Symlink && r.IntN(4) == 0 {
		e.Xattrs = []Xattr{{"user.a,b=c", "v\x00,=%"}, {"user.z", ""}}
	}
	if r.IntN(4) == 0 {
		e.Tags = tags.Set{{Name: "a b@c d", Dots: []tags.Dot{{Writer: "k.1", Seq: 2}, {Writer: "k.1", Seq: 10}, {Writer: "k.2", Seq: 1}}}, {Name: "work", Dots: []tags.Dot{{Writer: "x.y", Seq: 1}}}}
	}
	if r.IntN(8) == 0 {
		e.Conflict = randomFileID(r)
	}
	return e
}

func randomDirectory(r *rand.Rand, n int) *Directory {
	d := &Directory{Entries: []Entry{}}
	seen := map[string]bool{}
	for range n {
		name := randomName(r)
		if n > 100 {
			name = fmt.Sprintf("%x-%d", r.Uint64(), r.IntN(9))
			if r.IntN(20) == 0 {
				name = "%41" + name + strings.Repeat("x", 252-len(name)) // too long once it is escaped
			}
		}
		if !seen[name] {
			seen[name] = true
			d.Entries = append(d.Entries, randomEntry(r, name))
		}
	}
	slices.SortFunc(d.Entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	if r.IntN(3) == 0 {
		d.Options = []byte("[resource]\n")
	}
	return d
}

func equalDirectories(a, b *Directory) bool {
	return fmt.Sprintf("%+v", *a) == fmt.Sprintf("%+v", *b)
}

func TestDirectoryRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 300 {
		d := randomDirectory(r, r.IntN(30))
		roundTrip(t, d, round)
	}
}

func TestDirectorySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{metaSplit, metaSplit + 1, 5000} {
		d := randomDirectory(r, n)
		if len(d.Entries) != n {
			t.Fatalf("made %d entries, want %d", len(d.Entries), n)
		}
		m := roundTrip(t, d, n)
		if parts := len(m); (parts > 200) != (n > metaSplit) {
			t.Errorf("%d entries are stored in %d objects", n, parts)
		}
	}
}

// The second split needs half a million entries; the encoder is asked for it
// directly.
func TestMetaDeepSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	d := randomDirectory(r, 3000)
	m := memory{}
	top, err := encodePart(d.Entries, partitionOf(d.Entries, 2), m)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Entry, len(d.Entries))
	for i, e := range d.Entries {
		got[i] = Entry{Name: standIn(&e), Kind: e.Kind, Blob: e.Blob, Chunks: e.Chunks, Tree: e.Tree, Mode: uint32(gitMode(&e))}
	}
	sortByName(got)
	dec := metaDecoder{source: m, entries: got}
	if err := dec.part(top, partitionOf(got, 2)); err != nil {
		t.Fatal(err)
	}
	sortByName(got)
	if !equalDirectories(&Directory{Entries: got}, &Directory{Entries: d.Entries}) {
		t.Error("deep split does not round-trip")
	}
	if metaDepth(metaSplit*256) != 1 || metaDepth(metaSplit*256+1) != 2 {
		t.Error("depth changes at the wrong number of entries")
	}
}

func roundTrip(t *testing.T, d *Directory, round int) memory {
	t.Helper()
	m := memory{}
	id, err := EncodeDirectory(d, m)
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	got, err := DecodeDirectory(m, id)
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	if !equalDirectories(d, got) {
		t.Fatalf("round %d:\nput %+v\ngot %+v", round, d, got)
	}
	again, err := EncodeDirectory(got, memory{})
	if err != nil || again != id {
		t.Fatalf("round %d: encoded again as %s, %v, want %s", round, again, err, id)
	}
	return m
}

func TestEmptyDirectory(t *testing.T) {
	for _, options := range [][]byte{nil, {}, []byte("x")} {
		m := memory{}
		id, err := EncodeDirectory(&Directory{Options: options}, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeDirectory(m, id)
		if err != nil || len(got.Entries) != 0 || !bytes.Equal(got.Options, options) || (got.Options == nil) != (options == nil) {
			t.Errorf("options %q: got %+v, %v", options, got, err)
		}
	}
}

func TestDecodeForeign(t *testing.T) {
	m := memory{}
	blob, _ := m.WriteBlob([]byte("hello"))
	id, _ := m.WriteTree(AppendTree(nil, []TreeEntry{{GitFile, "a", blob}}))
	if _, err := DecodeDirectory(m, id); !errors.Is(err, ErrForeign) {
		t.Errorf("tree of plain git: %v, want ErrForeign", err)
	}
	empty, _ := m.WriteTree(nil)
	if _, err := DecodeDirectory(m, empty); !errors.Is(err, ErrForeign) {
		t.Errorf("empty tree: %v, want ErrForeign", err)
	}
}

func TestDecodeHostile(t *testing.T) {
	id := FileID{1}.String()
	cases := map[string]struct{ tree, meta, want string }{
		"no line":           {"a", metaHeader, "ends before"},
		"line twice":        {"a", metaHeader + "a " + id + "\na " + id + "\n", "not there"},
		"extra line":        {"a", metaHeader + "a " + id + "\nb " + id + "\n", "not there"},
		"zero id":           {"a", metaHeader + "a " + FileID{}.String() + "\n", "no file id"},
		"default written":   {"a", metaHeader + "a " + id + " m=644\n", "canonical"},
		"mode against git":  {"a", metaHeader + "a " + id + " m=755\n", "canonical"},
		"setuid":            {"a", metaHeader + "a " + id + " m=4644\n", "do not fit"},
		"leading zero":      {"a", metaHeader + "a " + id + " m=0600\n", "canonical"},
		"plus in time":      {"a", metaHeader + "a " + id + " t=+1\n", "canonical"},
		"fields swapped":    {"a", metaHeader + "a " + id + " t=1 m=600\n", "canonical"},
		"unknown field":     {"a", metaHeader + "a " + id + " q=1\n", "field"},
		"upper-case escape": {"a\n", metaHeader + "a%0A " + id + "\n", "canonical"},
		"no newline":        {"a", metaHeader + "a " + id, "ends before"},
		"version":           {"a", "smfs-meta 2\na " + id + "\n", "starts with"},
		"xattr trusted":     {"a", metaHeader + "a " + id + " x=trusted.a=b\n", "not one of user"},
		"xattr order":       {"a", metaHeader + "a " + id + " x=user.b=1,user.a=1\n", "out of order"},
		"tag without dot":   {"a", metaHeader + "a " + id + " g=work\n", "field"},
		"dot zero":          {"a", metaHeader + "a " + id + " g=work@k.1:0\n", "number"},
		"dot of nobody":     {"a", metaHeader + "a " + id + " g=work@../x:1\n", "writer"},
		"unescaped .git":    {".git", metaHeader + ".git " + id + "\n", "canonical escaped"},
		"needless escape":   {"%61", metaHeader + "a " + id + "\n", "canonical escaped"},
		"escaped ..":        {"%2e.", metaHeader + ".. " + id + "\n", "canonical escaped"},
		"escaped slash":     {"%2fa", metaHeader + "/a " + id + "\n", "canonical escaped"},
		"long name":         {strings.Repeat("x", 256), metaHeader + strings.Repeat("x", 256) + " " + id + "\n", "256 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := memory{}
			blob, _ := m.WriteBlob([]byte("x"))
			tree := buildTree(m, []TreeEntry{{GitFile, c.tree, blob}}, c.meta)
			_, err := DecodeDirectory(m, tree)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

func buildTree(m memory, entries []TreeEntry, meta string) TreeID {
	blob, _ := m.WriteBlob([]byte(meta))
	sub, _ := m.WriteTree(AppendTree(nil, []TreeEntry{{GitFile, metaName, blob}}))
	entries = append(slices.Clone(entries), TreeEntry{GitTree, ReservedName, sub})
	slices.SortFunc(entries, CompareTreeEntries)
	id, _ := m.WriteTree(AppendTree(nil, entries))
	return id
}

// TestDecodeHostileChunks has lists of chunks where no file of that name is, and
// what is no list.
func TestDecodeHostileChunks(t *testing.T) {
	id := FileID{1}.String()
	for name, c := range map[string]struct {
		mode   GitMode // of "a" in the directory
		chunks func(m memory, list [20]byte) TreeEntry
		good   bool
	}{
		"a list":      {GitFile, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitTree, "a", list}) }, true},
		"executable":  {GitExecutable, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitTree, "a", list}) }, true},
		"none":        {GitFile, func(m memory, _ [20]byte) TreeEntry { return chunksOf(m) }, false},
		"a blob":      {GitFile, func(m memory, list [20]byte) TreeEntry { return TreeEntry{GitFile, ChunksName, list} }, false},
		"no list":     {GitFile, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitFile, "a", list}) }, false},
		"of nobody":   {GitFile, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitTree, "b", list}) }, false},
		"of a link":   {GitSymlink, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitTree, "a", list}) }, false},
		"of a folder": {GitTree, func(m memory, list [20]byte) TreeEntry { return chunksOf(m, TreeEntry{GitTree, "a", list}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := memory{}
			blob, _ := m.WriteBlob([]byte("x"))
			list, _ := m.WriteTree(AppendTree(nil, []TreeEntry{{GitFile, "0000000000000001", blob}}))
			meta, _ := m.WriteBlob([]byte(metaHeader + "a " + id + "\n"))
			entries := []TreeEntry{c.chunks(m, list), {GitFile, metaName, meta}}
			sub, _ := m.WriteTree(AppendTree(nil, entries))
			tree, _ := m.WriteTree(AppendTree(nil, []TreeEntry{{GitTree, ReservedName, sub}, {c.mode, "a", blob}}))
			d, err := DecodeDirectory(m, tree)
			switch {
			case c.good && (err != nil || d.Entries[0].Chunks != list):
				t.Errorf("%+v, %v", d, err)
			case !c.good && !errors.Is(err, ErrInvalid):
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func chunksOf(m memory, lists ...TreeEntry) TreeEntry {
	id, _ := m.WriteTree(AppendTree(nil, lists))
	return TreeEntry{GitTree, ChunksName, id}
}

func TestDecodeSameNameTwice(t *testing.T) {
	m := memory{}
	blob, _ := m.WriteBlob([]byte("x"))
	id := FileID{1}.String()
	tree := buildTree(m, []TreeEntry{{GitFile, "a", blob}, {GitTree, "a", blob}}, metaHeader+"a "+id+"\na "+id+"\n")
	if _, err := DecodeDirectory(m, tree); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file and a directory of one name: %v, want ErrInvalid", err)
	}
}

func TestParseTreeHostile(t *testing.T) {
	id := strings.Repeat("i", 20)
	for name, data := range map[string]string{
		"zero-padded": "040000 a\x00" + id, "unknown mode": "100664 a\x00" + id, "gitlink": "160000 a\x00" + id, "empty name": "100644 \x00" + id,
		"slash": "100644 a/b\x00" + id, "dot-dot": "100644 ..\x00" + id, "cut": "100644 a\x00" + id[1:], "no NUL": "100644 a", "zero id": "100644 a\x00" + strings.Repeat("\x00", 20),
		"order": "100644 b\x00" + id + "100644 a\x00" + id, "twice": "100644 a\x00" + id + "100644 a\x00" + id, "tree order": "40000 a\x00" + id + "100644 a.b\x00" + id,
	} {
		if _, err := ParseTree([]byte(data)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestValidateRoot(t *testing.T) {
	for _, name := range reservedRoot {
		d := &Directory{Entries: []Entry{{Name: name, Kind: File, ID: FileID{1}, Blob: BlobID{1}, Mode: 0o644}}}
		if err := d.ValidateRoot(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s at the root: %v, want ErrInvalid", name, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s below the root: %v", name, err)
		}
	}
	if err := (&Directory{Options: []byte{}}).ValidateChild(); !errors.Is(err, ErrInvalid) {
		t.Errorf("options below the root: %v, want ErrInvalid", err)
	}
}
