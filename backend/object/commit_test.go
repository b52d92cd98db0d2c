package object

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func sampleCommit() *Commit {
	return &Commit{
		Tree: TreeID{1}, Parents: []CommitID{{2}, {3}}, Author: "laptop", Email: "k@smfs", Time: 1700000000, Message: "edit a.txt (vim)\n\nbody",
		Writer: "k.1", Seq: 4, Cover: Cover{{"j.1", 7, CommitID{9}}, {"k.1", 3, CommitID{2}}}, Gen: 9,
	}
}

func mustEncode(t testing.TB, c *Commit) []byte {
	t.Helper()
	data, err := EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestCommitRoundTrip(t *testing.T) {
	key := newKey(t)
	user := sampleCommit()
	user.Writer = Fingerprint(key.PublicKey()) + ".a1"
	if err := Sign(user, key); err != nil {
		t.Fatal(err)
	}
	merge := sampleCommit()
	merge.Writer, merge.Seq, merge.Merge = "", 0, 1
	root := sampleCommit()
	root.Parents, root.Cover, root.Gen = nil, nil, 1
	for _, c := range []*Commit{user, merge, root} {
		got, err := DecodeCommit(mustEncode(t, c))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("put %+v\ngot %+v, %v", c, got, err)
		}
	}
}

func TestSignature(t *testing.T) {
	key, other := newKey(t), newKey(t)
	c := sampleCommit()
	c.Writer = Fingerprint(key.PublicKey()) + ".a1"
	if _, err := VerifySignature(c); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	if err := Sign(c, key); err != nil {
		t.Fatal(err)
	}
	if fp, err := VerifySignature(c); err != nil || fp != Fingerprint(key.PublicKey()) {
		t.Errorf("signed: %q, %v", fp, err)
	}
	for name, change := range map[string]func(*Commit){
		"tree": func(c *Commit) { c.Tree[0]++ }, "message": func(c *Commit) { c.Message += "!" }, "cover": func(c *Commit) { c.Cover = nil },
		"writer": func(c *Commit) { c.Writer = Fingerprint(other.PublicKey()) + ".a1" }, "time": func(c *Commit) { c.Time++ },
		"armor": func(c *Commit) {
			c.Signature = strings.Replace(c.Signature, "SIGNATURE-----\n", "SIGNATURE-----\n\n", 1)
		},
	} {
		bad := *c
		change(&bad)
		if _, err := VerifySignature(&bad); !errors.Is(err, ErrSignature) {
			t.Errorf("%s changed: %v, want ErrSignature", name, err)
		}
	}
	stolen := *c
	if err := Sign(&stolen, other); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifySignature(&stolen); !errors.Is(err, ErrSignature) {
		t.Errorf("another's key for the writer: %v, want ErrSignature", err)
	}
}

func TestDecodeForeignCommit(t *testing.T) {
	plain := "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent " + strings.Repeat("ab", 20) + "\nauthor A B <a@b> 5 +0100\ncommitter C <c@d> 6 +0200\nencoding latin1\n\nhello\n"
	c, err := DecodeCommit([]byte(plain))
	if err != nil || !c.Foreign() || c.Author != "A B" || c.Email != "a@b" || c.Time != 5 || len(c.Parents) != 1 || c.Message != "hello\n" {
		t.Errorf("got %+v, %v", c, err)
	}
	// An smfs commit that somebody touched is a foreign one: it covers nothing.
	touched := strings.Replace(string(mustEncode(t, sampleCommit())), "author laptop", "author  laptop", 1)
	if c, err := DecodeCommit([]byte(touched)); err != nil || !c.Foreign() || c.Writer != "" || c.Cover != nil {
		t.Errorf("touched commit: %+v, %v", c, err)
	}
	for _, bad := range []string{"", "tree x\n\n", "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nno author", strings.Replace(plain, "author A", "auth A", 1), strings.Replace(plain, "parent ab", "parent zz", 1)} {
		if _, err := DecodeCommit([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestEncodeCommitRefuses(t *testing.T) {
	for name, change := range map[string]func(*Commit){
		"no tree": func(c *Commit) { c.Tree = TreeID{} }, "author": func(c *Commit) { c.Author = "a <b>" }, "no author": func(c *Commit) { c.Author = "" },
		"email": func(c *Commit) { c.Email = "a>b" }, "negative time": func(c *Commit) { c.Time = -1 }, "no message": func(c *Commit) { c.Message = "" },
		"trailer in message": func(c *Commit) { c.Message = "a\n\nSmfs-Seq: 9" }, "no gen": func(c *Commit) { c.Gen = 0 }, "no seq": func(c *Commit) { c.Seq = 0 },
		"nobody": func(c *Commit) { c.Writer, c.Seq = "", 0 }, "merge by a writer": func(c *Commit) { c.Merge = 1 }, "writer": func(c *Commit) { c.Writer = "a/b.c" },
		"cover order": func(c *Commit) { c.Cover = Cover{c.Cover[1], c.Cover[0]} }, "header in signature": func(c *Commit) { c.Signature = "x\ntree 1\n" },
		"parent twice": func(c *Commit) { c.Parents = []CommitID{{1}, {1}} },
	} {
		c := sampleCommit()
		change(c)
		if _, err := EncodeCommit(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestFileIDText(t *testing.T) {
	id, err := NewFileID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseFileID(id.String()); err != nil || got != id {
		t.Errorf("%s came back as %s, %v", id, got, err)
	}
	for _, bad := range []string{"", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAA\n\n", "AAAAAAAAAAAAAAAAAAAAA+"} {
		if _, err := ParseFileID(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}
