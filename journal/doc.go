// Package journal records every mutation of a mirror before it acts, and knows
// at any time which names may differ from what is committed.
//
// # Terms
//
// A record announces one mutation. A mark says of one path that it may differ
// from the last commit: a mark too many costs a look, a mark too few loses
// data. The marks of one resource are its dirty set. A segment is one file of
// records. A checkpoint is a segment that begins with all marks then alive, so
// that older ones may go.
//
// # The life of a mark
//
// Begin appends the record, then marks its paths, in flight until End. A mark
// has a generation that grows with each Begin, Found and End that concerns it.
// Whoever commits takes a Snapshot, looks at the files, makes what it saw
// durable, and only then calls Clear with the same marks: those that changed
// since, or have an operation in flight, stay. Opening a file for writing is a
// mutation that ends at once, while writes through the descriptor announce
// nothing more until KindClose (which is recorded only where no mark is left
// that a record brings back); whoever commits must not clear a file that is
// still open for writing.
//
// A file with several names can be changed through one that is gone before
// somebody looks. So a change of such a file (Record.Linked) sets two marks, of
// the name and of the file (Mark.Inode).
//
// # Renames
//
// A rename gives each of its two names, and everything below, the marks of the
// other: whether it has acted, and whether it exchanged, need not be known. As
// long as it is in flight the two names count as one: what is marked under one
// is marked under the other, and nothing under them can be cleared. Operations
// in flight move along. EndMoved says that a plain rename has acted; the marks
// left behind then go. Paths must be those that hold when Begin is called: the
// caller keeps a directory's renames from ending between the two.
//
// # On disk
//
// A segment is called NNNNNNNNNNNNNNNNNNNN.journal after the number of its
// first record, and begins with a header that all versions share:
//
//	8 bytes  "smfsjrnl"
//	u32      version, 1
//	u64      number of the first record
//	u32      CRC-32C of the 20 bytes before
//
// Records follow, little-endian, numbered without a gap:
//
//	u32      length of what follows the checksum
//	u32      CRC-32C of the length and of what follows here
//	u64      number
//	u8       kind
//	i64      time, nanoseconds since 1970
//	u64 u64  inode number, its birth time
//	u32 u32  uid, pid
//	u64      by kind: see Record
//	u8 u8    lengths of resource and command name
//	u16 u16  lengths of the two paths
//	         resource, command name, path, second path
//
// Three kinds are the journal's own besides KindCheckpoint. "Clear" says that
// of one resource only the records from a number on matter; "base", which ends
// a checkpoint, says it of all; "vacate" says that a rename has moved all that
// was below its first name. Each holds only if nothing is missing from that
// number on, and is ignored otherwise.
//
// # What survives
//
// The death of the process: every mark whose Begin has returned. Power loss:
// every mark whose Begin returned before a Sync that succeeded. A mark that was
// cleared may come back; how many is bounded by Options.SegmentSize. A record
// cut short at the end, or a tail of zeros, is cut off: its mutation had not
// begun, or was not synced. If numbers are missing that still matter, all that
// is readable is replayed, Recovery says Damaged, and the damaged segments stay
// until Repaired. The loss of the newest segments as a whole, or of all, cannot
// be told from a younger journal.
//
// When the disk is full, Begin fails and the mutation must be refused; what is
// marked stays marked, and the journal goes on when there is room again. For
// records of what frees room there is some kept (Reserve), so that files can be
// removed and cut; no other record gets it.
//
// # Concurrency
//
// All methods may be called at once. One mutex orders records and marks alike,
// so that replay does what Begin did; it is held through a write, never through
// a sync. The package starts no goroutine.
//
// Read next: fs, which announces; backend, which commits and clears.
package journal
