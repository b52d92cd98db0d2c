// Package store keeps one resource's history: a bare git repository that plain
// git reads.
//
// # What is go-git's
//
// The formats: object types and ref names (plumbing), indexes (idxfile), loose
// objects (objfile) and deltas (packfile), each behind limits of our own. Not
// used are:
//
//   - its writers of packs, objects and refs, which sync nothing and truncate
//     in place: a crash tears what was there;
//   - its storage, which is not safe for concurrent use, and its pack parser,
//     which takes no limits to what a peer may send;
//   - its reading of refs, which takes a torn id for another id, and its look-up
//     in indexes, which locks and keeps every answer.
//
// # Terms
//
// A batch is a set of new objects that becomes durable at once, as one pack. A
// pack holds objects, an index says where. A ref names a commit;
// refs/heads/main is the head. The quarantine is where a received pack waits
// until everything it claims has been checked.
//
// # On disk
//
//	HEAD, config         as git wants them; gc.auto = 0
//	smfs                 format version, resource ids, incarnation (JSON)
//	objects/pack/        pack-<checksum>.pack and .idx; tmp_smfs_* while written
//	objects/??/          only where a user ran git: loose objects are read, not written
//	refs/, packed-refs   as git has them
//	smfs-locks/          temporaries of ref locks
//
// # What survives a crash
//
// A batch is durable in this order: pack data (fdatasync), pack renamed, index
// renamed, directory (fsync); then each ref: value in its lock file (fsync),
// rename, directory (fsync). So a ref never names what could be lost. An index
// is made again from its pack at Open where it is missing or damaged. A pack
// whose ref update did not happen does no harm.
//
// # Invariants
//
// An object that is in the store is there with all it refers to: batches put
// children before parents, and a received pack is accepted only after all in it
// was found to be connected to a checked commit. Walks stop at what is here.
//
// Content is checked against its id on every read. Damage is an error that
// names the object (ErrCorrupt, ErrMissing); other objects go on working.
//
// # Concurrency
//
// A store is open in one process at a time, which may use it from any number
// of goroutines; plain git may read it, and repack it, meanwhile.
//
// Read backend/object next for the bytes of objects.
package store
