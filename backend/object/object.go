package object

import (
	"encoding/hex"

	"github.com/silvermirror/smfs/tags"
)

// BlobID, TreeID and CommitID are git object ids (SHA-1). The zero value
// means "none".
type (
	BlobID   [20]byte
	TreeID   [20]byte
	CommitID [20]byte
)

func (id BlobID) String() string   { return hex.EncodeToString(id[:]) }
func (id TreeID) String() string   { return hex.EncodeToString(id[:]) }
func (id CommitID) String() string { return hex.EncodeToString(id[:]) }

func (id BlobID) IsZero() bool   { return id == BlobID{} }
func (id TreeID) IsZero() bool   { return id == TreeID{} }
func (id CommitID) IsZero() bool { return id == CommitID{} }

// FileID is the identity of a file, directory or link: random, minted at
// creation, kept over renames and edits. Entries that share one are hard
// links. The root directory of a resource has the zero FileID.
type FileID [16]byte

// Kind is what an Entry is.
type Kind uint8

const (
	File Kind = iota + 1
	Dir
	Symlink
)

// Entry is one name in a directory.
type Entry struct {
	Name string // raw bytes as on disk; escaping for git is the codec's matter
	Kind Kind
	ID   FileID

	Blob   BlobID // File: its content, or what points to it. Symlink: a blob that holds the target
	Chunks TreeID // large File: the list of its chunks, which Blob determines (see chunk)
	Tree   TreeID // Dir: its Directory

	Mode  uint32 // permission bits and sticky, setgid on directories; no setuid. 0 for Symlink
	Mtime int64  // ns since 1970; 0 for Dir (a directory's mtime is not mirrored)

	Xattrs []Xattr  // user.* only, sorted by Name
	Tags   tags.Set //

	// Conflict is set on what a merge put aside: the FileID of the entry it
	// conflicts with. The zero FileID means no conflict.
	Conflict FileID
}

// Xattr is one extended attribute.
type Xattr struct {
	Name  string // with its "user." prefix
	Value string
}

// Directory is the decoded form of a directory's tree: its entries, sorted by
// raw Name bytewise, names unique. It is immutable once shared.
type Directory struct {
	Entries []Entry
	Options []byte // content of .smfs/resource.ini; root directories only, else nil
}

// Writer is "<key fingerprint>.<incarnation>".
type Writer = string

// Tip is the newest commit of one writer.
type Tip struct {
	Writer Writer
	Seq    uint64
	Commit CommitID
}

// Cover is the set of user-made commits reachable from a head: per writer its
// newest, which implies all before it. Sorted by Writer, unique.
type Cover []Tip

// Commit is a decoded commit.
type Commit struct {
	Tree    TreeID
	Parents []CommitID
	Author  string // node name; fixed for merges
	Email   string // "<fingerprint>@smfs"
	Time    int64  // s since 1970, UTC
	Message string // subject and body without trailers

	Writer Writer // "" for a merge or a foreign commit
	Seq    uint64 // 0 for a merge or a foreign commit
	Cover  Cover  // Smfs-Cover: the union of the parents' covers; the own (Writer, Seq) is implied and not in it
	Gen    uint64 // 1 + the largest Gen of the parents
	Merge  int    // version of the merge algorithm that made it, 0 where it is no merge

	Signature string // armored SSHSIG, "" where unsigned
}
