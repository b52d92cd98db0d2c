package store

import (
	"errors"
	"math"

	"github.com/silvermirror/smfs/backend/object"
)

// ErrLimit says that what a peer sent is larger than it may be.
var ErrLimit = errors.New("transfer exceeds a limit")

// Limits bound what Receive takes. Zero fields get defaults that fit a home
// directory: what is inflated is hashed and forgotten, so only Bytes costs disk
// space and only Delta memory.
type Limits struct {
	Bytes      int64 // of the stream; default 1 TiB
	Objects    int64 // default 64 Mi
	ObjectSize int64 // of one inflated blob; default 128 MiB, the most that metadata may have: a file is in chunks
	Inflated   int64 // of all objects; default 16 TiB
	Delta      int64 // of one object made by deltas; default 64 MiB
	DeltaDepth int   // default 50
	Tags       bool  // take annotated tags
}

func (l Limits) withDefaults() Limits {
	set := func(v *int64, def int64) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Bytes, 1<<40)
	set(&l.Objects, 64<<20)
	set(&l.ObjectSize, object.MaxMeta) // of a file it is a chunk at most
	set(&l.Inflated, 16<<40)
	set(&l.Delta, 64<<20)
	if l.DeltaDepth <= 0 {
		l.DeltaDepth = 50
	}
	return l
}

// noLimits is for packs that are in the store already.
func noLimits() Limits {
	const most = math.MaxInt64
	return Limits{Bytes: most, Objects: most, ObjectSize: most, Inflated: most, Delta: maxDelta, DeltaDepth: maxDeltaDepth, Tags: true}
}
