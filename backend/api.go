package backend

import (
	"context"
	"io"
	"time"
)

// API is what a running engine offers to the command line. The engine
// implements it in-process; the control client implements it over the socket.
// Every method may be called at any time by any number of goroutines. Paths
// are relative to the mirror's base directory.
type API interface {
	// Status reports without waiting for anything.
	Status(ctx context.Context) (*Status, error)
	// Wait returns once all that was written before the call is durable in
	// the store (and, if Mirrored, applied by every reachable peer).
	Wait(ctx context.Context, o WaitOptions) error
	// Sync commits, then exchanges with the peers, and returns what happened.
	Sync(ctx context.Context, o SyncOptions) (*SyncReport, error)

	// Commit commits what has changed with a message of the user's. Where nothing
	// has, the commit carries the message alone: a point to come back to.
	Commit(ctx context.Context, o CommitOptions) ([]Committed, error)

	AddPeer(ctx context.Context, p PeerSpec) (*PeerAdded, error)
	RemovePeer(ctx context.Context, name string) error
	Peers(ctx context.Context) ([]PeerStatus, error)

	// Log calls fn for each version, newest first, until fn fails.
	Log(ctx context.Context, o LogOptions, fn func(Version) error) error
	// Diff calls fn for what differs between two points of the history, or for what
	// the last commit that touched a path changed, until fn fails.
	Diff(ctx context.Context, o DiffOptions, fn func(DiffPart) error) error
	// Restore writes an old version back to its path, or to w if w is not nil.
	Restore(ctx context.Context, o RestoreOptions, w io.Writer) (*Restored, error)
	// Undo takes back the last of this mirror's own changes, as a new commit.
	Undo(ctx context.Context, o UndoOptions) (*Undone, error)
	Conflicts(ctx context.Context) ([]Conflict, error)

	// Fsck checks what the mirror keeps besides the files, and tells fn what it
	// looks at and what it finds. What it finds is no error.
	Fsck(ctx context.Context, o FsckOptions, fn func(FsckNews) error) error

	Tag(ctx context.Context, o TagOptions) error
	// Tags lists the tags of paths, or all tags with their counts.
	Tags(ctx context.Context, paths []string) ([]TagList, error)
}

// Status is `smfs status --json`.
type Status struct {
	Mirror      string           `json:"mirror"`
	Node        NodeStatus       `json:"node"`
	PID         int              `json:"pid"`
	Mounted     bool             `json:"mounted"`
	Passthrough bool             `json:"passthrough"`
	LastStart   StartStatus      `json:"last_start"`
	Resources   []ResourceStatus `json:"resources"`
	Outside     []string         `json:"outside,omitempty"` // files and directories of no resource: not mirrored
	Covered     []string         `json:"covered,omitempty"` // where other filesystems are mounted: not mirrored; the command adds them
	Peers       []PeerStatus     `json:"peers"`
}

type NodeStatus struct {
	Name string `json:"name"`
	ID   string `json:"id"` // key fingerprint
}

type StartStatus struct {
	Clean    bool `json:"clean"`    // the engine before this one ended by itself
	Scanned  int  `json:"scanned"`  // files looked at by the scan at start; 0 where the journal was enough
	Replayed int  `json:"replayed"` // journal records replayed
}

// Waiting is a name at which what peers did could not be applied yet.
type Waiting struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

type ResourceStatus struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Head       string `json:"head"`
	Files      int    `json:"files"`
	Pending    int    `json:"pending"`
	Conflicts  int    `json:"conflicts"`
	FilesBytes int64  `json:"files_bytes"` // a file with several names counts for each
	StoreBytes int64  `json:"store_bytes"`

	StoreGrowth Growth `json:"store_growth"`
	Outgrown    bool   `json:"outgrown"` // the history is more than ten times as large as the files

	Local   []string  `json:"local,omitempty"` // FIFOs, sockets, devices: not mirrored
	Waiting []Waiting `json:"waiting,omitempty"`
	Problem string    `json:"problem,omitempty"`
}

// Growth is what a store has grown by (less than 0: shrunk) since a time, about a
// week ago at most. Where none was noted yet it is zero.
type Growth struct {
	Bytes int64     `json:"bytes"`
	Since time.Time `json:"since"`
}

type PeerStatus struct {
	Name      string               `json:"name"`
	URL       string               `json:"url"`
	State     string               `json:"state"` // connected, connecting, unreachable, paused
	Error     string               `json:"error"`
	Resources []PeerResourceStatus `json:"resources"`
	Transfers []Transfer           `json:"transfers"`
}

type PeerResourceStatus struct {
	Name   string `json:"name"`
	Head   string `json:"head"`
	Behind int    `json:"behind"` // user commits of ours that the peer has not applied
}

type Transfer struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total"`
	Rate  int64  `json:"rate"` // bytes a second
}

type WaitOptions struct {
	Mirrored bool          `json:"mirrored"`
	Timeout  time.Duration `json:"timeout"` // 0: none
}

type SyncOptions struct {
	Resources []string `json:"resources"` // names; empty: all
	Hosts     []string `json:"hosts"`     // peer names; empty: all
	// AcceptDeletes lets a scan delete more than half of a large mirror.
	AcceptDeletes bool `json:"accept_deletes"`
}

type SyncReport struct {
	Committed int              `json:"committed"` // resources that got a new commit
	Peers     []PeerStatus     `json:"peers"`
	Resources []ResourceStatus `json:"resources"`
}

type CommitOptions struct {
	Resources []string `json:"resources"` // names; empty: all
	Message   string   `json:"message"`   // a subject line; a body may come after a blank one
}

type Committed struct {
	Resource string `json:"resource"`
	Commit   string `json:"commit"`
	Changed  bool   `json:"changed"` // it carries changes, and not its message alone
	Pending  int    `json:"pending"` // files that it could not take yet: a program has them open
}

type PeerSpec struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Command string `json:"command"` // path of smfs on the other side
	Join    bool   `json:"join"`    // unite resources that both hold files and share no id
}

type PeerAdded struct {
	Reachable bool     `json:"reachable"`
	Warning   string   `json:"warning,omitempty"`
	Resources []string `json:"resources"` // shared with the peer
}

type LogOptions struct {
	Path  string `json:"path"` // "": the whole mirror
	Limit int    `json:"limit"`
}

// Version is one line of `smfs log`.
type Version struct {
	Resource string    `json:"resource"`
	Commit   string    `json:"commit"`
	Time     time.Time `json:"time"`
	Node     string    `json:"node"`
	Program  string    `json:"program"` // that made the change; "" where that is not known
	Subject  string    `json:"subject"`
	Body     string    `json:"body,omitempty"` // what was written below it by hand
	Path     string    `json:"path"`           // where the file was then; "" where none was asked for
	Kind     string    `json:"kind,omitempty"` // of what is there: file, symlink, directory
	Size     int64     `json:"size"`
	Deleted  bool      `json:"deleted"`
}

// What a diff tells of each file.
const (
	DiffNames = "names" // what became of it
	DiffStat  = "stat"  // and how many lines differ
	DiffPatch = "patch" // and which
)

type DiffOptions struct {
	Path   string `json:"path"`   // as it is called now; "": the whole mirror
	From   string `json:"from"`   // commit id (prefix) or time; both "": before the last commit that touched the path
	To     string `json:"to"`     // "": now
	Detail string `json:"detail"` // DiffNames, DiffStat or DiffPatch
}

// DiffPart is one of: the commit that is shown, the next file, more of its patch.
type DiffPart struct {
	Of    *Version  `json:"of,omitempty"`
	File  *FileDiff `json:"file,omitempty"`
	Patch string    `json:"patch,omitempty"`
}

// FileDiff is what became of one file, link or directory.
type FileDiff struct {
	Resource string    `json:"resource"`
	Action   string    `json:"action"` // add, edit, delete, rename (which may be edited as well)
	Path     string    `json:"path"`
	From     string    `json:"from,omitempty"` // where it was, if it was renamed
	Kind     string    `json:"kind"`           // file, symlink, directory
	Old      *FileSide `json:"old,omitempty"`  // not of what is added
	New      *FileSide `json:"new,omitempty"`  // not of what is deleted

	Content bool  `json:"content"`           // it holds something else
	Binary  bool  `json:"binary"`            // and has no lines, or is too large for them to be compared
	Differs int64 `json:"differs,omitempty"` // bytes in the parts of a large file that the old one has not
	Added   int   `json:"added"`             // lines
	Deleted int   `json:"deleted"`

	Tagged   []string `json:"tagged,omitempty"`
	Untagged []string `json:"untagged,omitempty"`
	Xattrs   []string `json:"xattrs,omitempty"` // names of those that differ
}

type FileSide struct {
	Mode  string    `json:"mode"` // as in git, with all permissions
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
}

type RestoreOptions struct {
	Path string `json:"path"`
	At   string `json:"at"` // commit id (prefix) or time; "": the newest version that differs from what is there and that no rm or cp passed through
	// Archive: the caller gets a tar archive, of a directory as well.
	Archive bool `json:"archive"`
}

type Restored struct {
	Commit  string `json:"commit"`
	Files   int    `json:"files"`   // brought back or changed
	Removed int    `json:"removed"` // that the version did not have
}

type UndoOptions struct {
	Path   string `json:"path"`    // a resource's: its last batch; below it: the last that changed something there
	Last   int    `json:"last"`    // so many batches that are in effect: undos, and what they undid, are not; 0: the last one, be it an undo
	DryRun bool   `json:"dry_run"` // tell, and change nothing
}

// Undone is what an undo did, or would do.
type Undone struct {
	Resource  string   `json:"resource"`
	Commit    string   `json:"commit"` // of the undo; "" in a dry run
	Batches   []Batch  `json:"batches"`
	Changes   []Change `json:"changes"`
	Skipped   []Skip   `json:"skipped"`   // that stay as they are
	Conflicts []string `json:"conflicts"` // where both versions are kept, one under another name

	Waiting []Waiting `json:"waiting"` // where the files could not be changed yet
}

// Batch is what was done in one go, in one commit or several.
type Batch struct {
	What    string    `json:"what"`
	Program string    `json:"program"`
	Time    time.Time `json:"time"`    // of its newest commit
	Commits []string  `json:"commits"` // newest first
}

// Change is what is done at one path: add, edit, delete, rename.
type Change struct {
	Action string `json:"action"`
	Path   string `json:"path"`
	From   string `json:"from,omitempty"` // of a rename
}

type Skip struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// What a conflict is about.
const (
	ContentConflict = "content" // changed on both sides: one version was put aside, under another name
	NameConflict    = "name"    // renamed on both sides: there is one file, which got one of the names
)

type Conflict struct {
	Resource string    `json:"resource"`
	Kind     string    `json:"kind"`
	Path     string    `json:"path"`  // the copy that was put aside; the name that the file got
	Of       string    `json:"of"`    // the path it conflicts with, the name that the file did not get; "" where that is gone
	Time     time.Time `json:"mtime"` // of the copy; when the name was chosen
}

type TagOptions struct {
	Paths  []string `json:"paths"`
	Tags   []string `json:"tags"`
	Remove bool     `json:"remove"`
}

// TagList is the tags of one path, or (Path "") one tag with its count.
type TagList struct {
	Path  string   `json:"path,omitempty"`
	Tags  []string `json:"tags"`
	Count int      `json:"count,omitempty"`
}

type FsckOptions struct {
	Repair bool `json:"repair"` // mend what can be
}

// FsckNews is what Fsck looks at next, or a finding.
type FsckNews struct {
	Looking string   `json:"looking,omitempty"`
	Finding *Finding `json:"finding,omitempty"`
}

// States of a finding.
const (
	Noted   = "noted"   // nothing is damaged
	Damaged = "damaged" // and not mended
	Mended  = "mended"
)

type Finding struct {
	Resource string `json:"resource,omitempty"` // "": the mirror as a whole
	Part     string `json:"part"`               // journal, store, index, files, tags
	State    string `json:"state"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"` // what to do about it
}
