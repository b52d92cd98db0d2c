package e2e

import (
	"bytes"
	"compress/zlib"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
)

// Kinds of objects, as packs number them.
const (
	packCommit = 1
	packTree   = 2
	packBlob   = 3
)

// objects are git objects made by hand, without any of the checks of those who
// make them honestly.
type objects struct{ list []rawObject }

type rawObject struct {
	kind int
	data []byte
}

func (o *objects) add(kind int, data []byte) [20]byte {
	o.list = append(o.list, rawObject{kind, data})
	h := sha1.New()
	fmt.Fprintf(h, "%s %d\x00", [...]string{packCommit: "commit", packTree: "tree", packBlob: "blob"}[kind], len(data))
	h.Write(data)
	return [20]byte(h.Sum(nil))
}

// drop takes the last object of a kind out again.
func (o *objects) drop(kind int) {
	for i := len(o.list) - 1; i >= 0; i-- {
		if o.list[i].kind == kind {
			o.list = append(o.list[:i], o.list[i+1:]...)
			return
		}
	}
}

// entry is an entry of a tree: mode as git writes it, any name at all.
type entry struct {
	mode, name string
	id         [20]byte
}

// tree writes a git tree of the entries as they come.
func (o *objects) tree(entries ...entry) [20]byte {
	var b []byte
	for _, e := range entries {
		b = fmt.Appendf(b, "%s %s\x00", e.mode, e.name)
		b = append(b, e.id[:]...)
	}
	return o.add(packTree, b)
}

// directory writes a tree with metadata for the entries: a line each, with
// extra at its end.
func (o *objects) directory(extra string, entries ...entry) [20]byte {
	meta := "smfs-meta 1\n"
	for i, e := range entries {
		id := sha1.Sum(fmt.Append(nil, e.name, i))
		meta += e.name + " " + base64.RawURLEncoding.EncodeToString(id[:16]) + extra + "\n"
	}
	reserved := o.tree(entry{"100644", "meta", o.add(packBlob, []byte(meta))})
	all := append([]entry{{"40000", ".smfs", reserved}}, entries...)
	return o.tree(all...)
}

// pack is the pack of the objects.
func (o *objects) pack() []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(o.list)))
	for _, obj := range o.list {
		b = appendPacked(b, obj)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

func appendPacked(b []byte, obj rawObject) []byte {
	n := len(obj.data)
	c := byte(obj.kind<<4 | n&15)
	for n >>= 4; n > 0; n >>= 7 {
		b = append(b, c|0x80)
		c = byte(n & 0x7f)
	}
	b = append(b, c)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(obj.data)
	w.Close()
	return append(b, z.Bytes()...)
}

// impostor is a node that has a key as every node has, and no scruples.
type impostor struct {
	key    ssh.Signer
	victim peer.Resource // as it has introduced itself
}

func newImpostor() *impostor {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return &impostor{key: key}
}

func (im *impostor) fingerprint() string { return object.Fingerprint(im.key.PublicKey()) }

// commit signs a first commit of its own over a tree, after change had its way.
func (im *impostor) commit(o *objects, tree [20]byte, change func(*object.Commit)) [20]byte {
	c := &object.Commit{
		Tree: tree, Author: "impostor", Email: im.fingerprint() + "@smfs", Time: time.Now().Unix(),
		Message: "hostile", Writer: im.fingerprint() + "." + strings.Repeat("ab", 10), Seq: 1, Gen: 1,
	}
	if change != nil {
		change(c)
	}
	return im.sign(o, c, im.key)
}

func (im *impostor) sign(o *objects, c *object.Commit, key ssh.Signer) [20]byte {
	if c.Writer != "" && key != nil {
		if err := object.Sign(c, key); err != nil {
			panic(err)
		}
	}
	data, err := object.EncodeCommit(c)
	if err != nil {
		panic(err)
	}
	return o.add(packCommit, data)
}

// attack is one push: its head, and the bytes that claim to be its pack.
type attack struct {
	name string
	make func(im *impostor) (head [20]byte, pack []byte)
}

// named is the attack of a file by that name in the root directory.
func named(name string) attack {
	return inTree("the name "+name, "", func(o *objects) []entry {
		return []entry{{"100644", name, o.add(packBlob, []byte("boo"))}}
	})
}

func inTree(name, extra string, entries func(o *objects) []entry) attack {
	return attack{name: name, make: func(im *impostor) ([20]byte, []byte) {
		o := &objects{}
		head := im.commit(o, o.directory(extra, entries(o)...), nil)
		return head, o.pack()
	}}
}

// inCommit is the attack of a commit over a harmless tree.
func inCommit(name string, change func(im *impostor, c *object.Commit)) attack {
	return attack{name: name, make: func(im *impostor) ([20]byte, []byte) {
		o := &objects{}
		head := im.commit(o, harmless(o, "hostile"), func(c *object.Commit) { change(im, c) })
		return head, o.pack()
	}}
}

// inPack is the attack of a pack that is not what it should be.
func inPack(name string, spoil func(o *objects) []byte) attack {
	return attack{name: name, make: func(im *impostor) ([20]byte, []byte) {
		o := &objects{}
		head := im.commit(o, harmless(o, "hostile"), nil)
		return head, spoil(o)
	}}
}

func harmless(o *objects, name string) [20]byte {
	return o.directory("", entry{"100644", name, o.add(packBlob, []byte("by the impostor\n"))})
}

func attacks() []attack {
	list := []attack{
		named(".."), named("."), named("a/b"), named("/etc/passwd"), named(""), named(".git"), named("../../up"),
		named(".silvermirror"), named("@tags"), named("@history"), named("%2e%2e"),
		inTree("a file called .smfs", "", func(o *objects) []entry {
			return []entry{{"100644", ".smfs", o.add(packBlob, []byte("boo"))}}
		}),
		inTree("a set-user-id bit", " m=4755", func(o *objects) []entry {
			return []entry{{"100755", "tool", o.add(packBlob, []byte("boo"))}}
		}),
		inTree("an attribute of the system", " x=security.capability=boo", func(o *objects) []entry {
			return []entry{{"100644", "tool", o.add(packBlob, []byte("boo"))}}
		}),
		inTree("one name twice", "", func(o *objects) []entry {
			id := o.add(packBlob, []byte("boo"))
			return []entry{{"100644", "twin", id}, {"100644", "twin", id}}
		}),
		inTree("a submodule", "", func(o *objects) []entry {
			return []entry{{"160000", "module", sha1.Sum(nil)}}
		}),
		inTree("a name .. below", "", func(o *objects) []entry {
			return []entry{{"40000", "dir", o.directory("", entry{"100644", "..", o.add(packBlob, []byte("boo"))})}}
		}),
		{name: "a tree without metadata", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			head := im.commit(o, o.tree(entry{"100644", "bare", o.add(packBlob, []byte("boo"))}), nil)
			return head, o.pack()
		}},
		inCommit("a lying cover", func(im *impostor, c *object.Commit) { c.Cover = im.victim.Cover }),
		inCommit("a number left out", func(im *impostor, c *object.Commit) { c.Seq = 7 }),
		inCommit("a wrong generation", func(im *impostor, c *object.Commit) { c.Gen = 9 }),
		inCommit("a parent that is not covered", func(im *impostor, c *object.Commit) {
			c.Parents, c.Gen = []object.CommitID{im.victim.Head}, 2
		}),
		inCommit("a merge that nobody would make", func(im *impostor, c *object.Commit) {
			c.Parents = []object.CommitID{im.victim.Head}
			c.Writer, c.Seq, c.Merge, c.Gen, c.Cover = "", 0, 1, 2, im.victim.Cover
		}),
		inCommit("a commit of tomorrow", func(im *impostor, c *object.Commit) { c.Time += 24 * 3600 }),
		inPack("a missing file", func(o *objects) []byte { o.drop(packBlob); return o.pack() }),
		inPack("a missing tree", func(o *objects) []byte { o.drop(packTree); return o.pack() }),
		inPack("a missing commit", func(o *objects) []byte { o.drop(packCommit); return o.pack() }),
		inPack("another file in its place", func(o *objects) []byte {
			o.drop(packBlob)
			o.add(packBlob, []byte("not what the tree names\n"))
			return o.pack()
		}),
		inPack("a pack that ends early", func(o *objects) []byte { p := o.pack(); return p[:len(p)/2] }),
		inPack("a pack with a flipped bit", func(o *objects) []byte { p := o.pack(); p[len(p)/2] ^= 4; return p }),
		inPack("no pack at all", func(o *objects) []byte { return bytes.Repeat([]byte("garbage "), 100) }),
		inPack("a pack of four billion objects", func(o *objects) []byte {
			p := o.pack()
			copy(p[8:], "\xff\xff\xff\xff")
			return p
		}),
	}
	return append(list, bySignature()...)
}

func bySignature() []attack {
	return []attack{
		{name: "no signature", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			c := &object.Commit{Tree: harmless(o, "hostile"), Author: "x", Time: 1, Message: "m", Gen: 1, Seq: 1,
				Writer: im.fingerprint() + ".ab"}
			return im.sign(o, c, nil), o.pack()
		}},
		{name: "the signature of another key", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			c := &object.Commit{Tree: harmless(o, "hostile"), Author: "x", Time: 1, Message: "m", Gen: 1, Seq: 1,
				Writer: im.fingerprint() + ".ab"}
			return im.sign(o, c, newImpostor().key), o.pack()
		}},
		{name: "the name of the victim", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			c := &object.Commit{Tree: harmless(o, "hostile"), Author: "x", Time: 1, Message: "m", Gen: 1,
				Writer: im.victim.Cover[0].Writer, Seq: 1}
			return im.sign(o, c, im.key), o.pack()
		}},
		{name: "a signature of something else", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			c := &object.Commit{Tree: harmless(o, "hostile"), Author: "x", Time: 1, Message: "m", Gen: 1, Seq: 1,
				Writer: im.fingerprint() + ".ab"}
			if err := object.Sign(c, im.key); err != nil {
				panic(err)
			}
			c.Tree = harmless(o, "exchanged")
			return im.sign(o, c, nil), o.pack()
		}},
		{name: "a commit of plain git", make: func(im *impostor) ([20]byte, []byte) {
			o := &objects{}
			tree := harmless(o, "hostile")
			head := o.add(packCommit, fmt.Appendf(nil, "tree %x\nauthor x <x> 1 +0000\ncommitter x <x> 1 +0000\n\nplain\n", tree))
			return head, o.pack()
		}},
	}
}

// honest is what a node sends: it shows that the attacks fail for what is wrong
// with them.
func honest(name string) attack {
	return attack{name: "honest", make: func(im *impostor) ([20]byte, []byte) {
		o := &objects{}
		head := im.commit(o, harmless(o, name), nil)
		return head, o.pack()
	}}
}
