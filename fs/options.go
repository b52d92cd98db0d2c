package fs

import (
	"context"
	"io"
	"log/slog"
	"os/exec"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// Options say what to mount, and with what beneath.
type Options struct {
	// Base is an fd (O_PATH will do) of the directory, opened before mounting.
	// Mount duplicates it.
	Base int
	// Dir is the absolute path of the same directory.
	Dir string
	// Resources are the parts of the tree that are journaled. Where two nest,
	// the deeper one owns a path.
	Resources []ResourceRoot
	// Journal hears of every mutation in a resource before it acts.
	Journal Journal
	// Tags fills .smfs/tags. nil: there is no tag view.
	Tags TagView
	// History fills .smfs/history. nil: there is no history view.
	History History
	// Control is what .smfs/control reads: the path of the engine's socket.
	Control string
	// StateDir is the name of the state directory below Base; "" means
	// ".silvermirror".
	StateDir string
	// AllowOther lets other users in (within the permissions of the files). An
	// ordinary user may set it only where /etc/fuse.conf says user_allow_other.
	AllowOther bool
	// Source is what tables of mounts show as the device. "" means "smfs".
	Source string
	// Flags are generic options of mount(8), see [IsMountFlag]. By default
	// setuid programs and devices have no effect; an ordinary user cannot
	// change that.
	Flags []string
	// Passthrough "off" makes the daemon carry all data; "" and "auto" leave
	// reads and writes to the kernel where it allows that.
	Passthrough string
	// Announcer makes the command whose process runs [Announce] on Dir, so that
	// programs that watch hear of what an apply changes. It is started when there
	// are such, and ends with the mount. nil: they do not hear of it.
	Announcer func() *exec.Cmd
	// Debug logs every request.
	Debug bool
	// Log takes what has no caller to return to. nil: discarded.
	Log *slog.Logger

	maxKnown   int   // inodes that the kernel may know; 0: maxKnown
	maxPast    int   // inodes of the history view, of these; 0: maxPast
	maxHandles int64 // files that programs may have open; 0: what the process's limit allows
}

// ResourceRoot is one resource as the mount sees it.
type ResourceRoot struct {
	Name string
	// Path is where its root is in the mirror, "" for the mirror itself.
	Path string
	// Tree is its backing directory; its slot locks are shared.
	Tree *tree.Tree
	// External says that the directory lies outside the base and may be changed
	// beside the mount: it is reached through Tree's root, and cached for 1 s.
	External bool
}

// Journal is what the mount needs of *journal.Journal.
type Journal interface {
	Begin(journal.Record) (*journal.Op, error)
	Sync() error
}

// TagView answers what the tag view shows. All methods are called from
// handlers: they must be quick, safe for concurrent use, and never touch the
// mount.
type TagView interface {
	// Tags are the names one level below prefix, sorted: for tags "work" and
	// "projects/acme", Tags("") is ["projects", "work"], Tags("projects") ["acme"].
	Tags(prefix string) []string
	// Files are the files that match a query ("work", "projects/acme",
	// "work,urgent", "!done"), the one tagged first first. An error means that
	// the query makes no sense.
	Files(query string) ([]tags.Tagged, error)
	// Generation changes whenever an answer of Tags or Files may.
	Generation() uint64
}

// History answers what the history view shows. All methods, also of what it returns,
// are called from handlers: they must be safe for concurrent use, never touch the mount,
// and wait for nobody who may wait for a handler. os.ErrNotExist and errors that carry
// an errno reach the caller as such; others are EIO there and told in the log.
type History interface {
	// Times are the names that are listed, whichever others At may know.
	Times(ctx context.Context) ([]string, error)
	// At is the mirror's root at a time or commit, as people write it.
	At(ctx context.Context, name string) (Past, error)
}

// Past is a file, directory or symlink as it was once. It never changes.
type Past interface {
	Info() PastInfo
	// Lookup and List are of directories. What List returns has no order.
	Lookup(name string) (Past, error)
	List() ([]PastName, error)
	// Readlink is of symlinks.
	Readlink() ([]byte, error)
	// Open is of files. The reader is used by several goroutines at once, until it is
	// closed.
	Open() (PastFile, error)
}

// PastFile reads a file of the past. What it reads is what was stored: it was checked.
type PastFile interface {
	io.ReaderAt
	io.Closer
}

// PastInfo is what stat shows of a Past.
type PastInfo struct {
	// ID is the identity: what has one ID is one inode. A directory has one for each
	// path that leads to it, over all times.
	ID     [16]byte
	Mode   uint32 // type and permission bits
	Size   int64
	Mtime  int64 // ns since 1970
	Xattrs []PastXattr
}

// PastXattr is one extended attribute.
type PastXattr struct{ Name, Value string }

// PastName is a name in a directory of the past; of Mode only the type counts.
type PastName struct {
	Name string
	Mode uint32
	ID   [16]byte
}
