package journal

import (
	"errors"
	"fmt"
	"time"
)

// FileKey identifies a backing inode for as long as it lives. Gen is the
// birth time in nanoseconds (0 where the filesystem has none): inode numbers
// are reused, the pair is not.
type FileKey struct {
	Ino uint64
	Gen uint64
}

// Actor is who asked for a mutation, as far as the kernel tells.
type Actor struct {
	UID, PID uint32
	Command  string // /proc/PID/comm; empty where unknown
}

// Record announces one mutation, before it acts.
type Record struct {
	Seq      uint64    // assigned by the journal, from 1, gapless
	Time     time.Time // assigned by the journal
	Kind     Kind
	Resource string  // name of the resource the paths belong to
	Key      FileKey // the file acted on; zero where there is none yet
	Path     string  // slash-separated, relative to the resource's root, raw bytes; "" is the root
	To       string  // second path of KindRename and KindLink
	Actor    Actor

	// Linked says that the file at Path has, or gets, other names. The change
	// is then marked for the file too: Path may be gone, or be another file,
	// before somebody looks. It is not kept: the second mark has a record of
	// its own.
	Linked bool

	// Frees says that the mutation gives room on the disk back, as a truncation
	// does, so that it must be possible when that is full. Removals always do.
	// It is not kept.
	Frees bool

	// aux is the KindSet of a KindCheckpoint record, and in kindClear,
	// kindBase and kindVacate records the number that the records of all
	// dropped marks lie below.
	aux uint64
}

// The most bytes a record's strings may have. They are far above what the
// kernel passes in one call, and bound what a decoder allocates.
const (
	maxResource = 255
	maxCommand  = 255
	maxPath     = 1<<16 - 1
)

// Errors of a record that no journal takes. The mutation it announces must be
// refused.
var (
	ErrTooLong = errors.New("path or resource name too long for the journal")
	ErrKind    = errors.New("not a kind of mutation")
)

// frees reports whether the mutation may give room on the disk back.
func (r *Record) frees() bool { return r.Frees || r.Kind == KindUnlink || r.Kind == KindRmdir }

// spends reports whether r announces what takes room, or may: all that is neither
// an end nor the journal's own.
func (r *Record) spends() bool { return !r.frees() && r.Kind <= KindFound && r.Kind != KindClose }

// check reports why the journal cannot take r from a caller.
func (r *Record) check() error {
	if r.Kind < KindCreate || r.Kind > KindFound {
		return fmt.Errorf("record of kind %d: %w", r.Kind, ErrKind)
	}
	if len(r.Resource) > maxResource || len(r.Path) > maxPath || len(r.To) > maxPath {
		return fmt.Errorf("record of %s with paths of %d and %d bytes: %w", r.Kind, len(r.Path), len(r.To), ErrTooLong)
	}
	return nil
}
