package object

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func FuzzParseTree(f *testing.F) {
	f.Add(AppendTree(nil, []TreeEntry{{GitFile, "a", [20]byte{1}}, {GitTree, "b", [20]byte{2}}, {GitSymlink, "c", [20]byte{3}}, {GitExecutable, "d", [20]byte{4}}}))
	f.Add([]byte("100644 a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseTree(data)
		if err == nil && !bytes.Equal(AppendTree(nil, entries), data) {
			t.Errorf("accepted %q, which is written as %q", data, AppendTree(nil, entries))
		}
	})
}

// FuzzDecodeDirectory feeds names and metadata; whatever is accepted must be
// encoded to the same tree.
func FuzzDecodeDirectory(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 8 {
		m := memory{}
		id, err := EncodeDirectory(randomDirectory(r, 6), m)
		if err != nil {
			f.Fatal(err)
		}
		entries, _ := ParseTree(m[id])
		for i, e := range entries {
			if e.Name != ReservedName {
				continue
			}
			sub, _ := ParseTree(m[e.ID])
			rest := append(append([]TreeEntry{}, entries[:i]...), entries[i+1:]...)
			f.Add(AppendTree(nil, rest), m[sub[0].ID])
		}
	}
	f.Fuzz(func(t *testing.T, tree, meta []byte) {
		entries, err := ParseTree(tree)
		if err != nil {
			return
		}
		m := memory{}
		id := buildTree(m, entries, string(meta))
		d, err := DecodeDirectory(m, id)
		if err != nil {
			return
		}
		again, err := EncodeDirectory(d, memory{})
		if err != nil || again != id {
			t.Errorf("accepted tree %s, encoded again as %s, %v", id, again, err)
		}
	})
}

func FuzzEscapeName(f *testing.F) {
	for _, n := range trickyNames {
		f.Add(n, byte(File))
		f.Add(n, byte(Symlink))
	}
	f.Fuzz(func(t *testing.T, name string, k byte) {
		kind := Kind(k%3 + 1)
		if got, err := unescapeName(name, kind); err == nil && escapeName(got, kind) != name && got != standInMark+name {
			t.Errorf("%q taken for the escaped form of %q", name, got)
		}
		if CheckName(name) != nil {
			return
		}
		got, err := unescapeName(escapeName(name, kind), kind)
		if err != nil || got != standIn(&Entry{Name: name, Kind: kind}) {
			t.Errorf("%q escaped to %q, back to %q, %v", name, escapeName(name, kind), got, err)
		}
	})
}

func FuzzDecodeCommit(f *testing.F) {
	f.Add(mustEncode(f, sampleCommit()))
	merge := sampleCommit()
	merge.Writer, merge.Seq, merge.Merge = "", 0, 1
	f.Add(mustEncode(f, merge))
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 1 +0100\ncommitter A <a@b> 1 +0100\n\nhello\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommit(data)
		if err != nil || c.Foreign() {
			return
		}
		if again, err := EncodeCommit(c); err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted\n%q, encoded again as\n%q, %v", data, again, err)
		}
	})
}

func FuzzCleanMessage(f *testing.F) {
	for _, s := range []string{"", "edit a", "a\n\nSmfs-Gen: 1", "\xff\x00\r\n", "a \n b\t\n", "Smfs-", "Smfs- "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := sampleCommit()
		c.Message, c.Author = CleanMessage(s), CleanName(s)
		data, err := EncodeCommit(c)
		if err != nil {
			t.Fatalf("%q cleaned to %q: %v", s, c.Message, err)
		}
		got, err := DecodeCommit(data)
		if err != nil || got.Message != c.Message || got.Author != c.Author || got.Seq != c.Seq {
			t.Errorf("message %q came back as %q, %v", c.Message, got.Message, err)
		}
	})
}

func FuzzUnarmor(f *testing.F) {
	f.Add(armor([]byte("SSHSIG")))
	f.Fuzz(func(t *testing.T, s string) {
		if blob, err := unarmor(s); err == nil && armor(append([]byte(sshsigMagic), blob...)) != s {
			t.Errorf("accepted %q", s)
		}
	})
}
