package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// Version is the merge algorithm's, recorded in each merge commit. A change to
// any rule of this package needs a new one.
const Version = 1

// What every merge commit says of itself: nothing of the node that made it.
const (
	author  = "smfs"
	email   = "merge@smfs"
	message = "merge"
)

var (
	// ErrComparable says that one commit holds all the other does: there is
	// nothing to merge.
	ErrComparable = errors.New("one commit contains the other")
	// ErrVersion says that a merge was made by rules this version lacks.
	ErrVersion = errors.New("merge of an unknown version")
	// ErrForged says that a merge commit is not what merging its parents gives.
	ErrForged = errors.New("not the merge of its parents")
)

// Made is a merge commit with its id.
type Made struct {
	Result
	ID     object.CommitID
	Commit *object.Commit
}

// Commit merges two commits and makes the merge commit, which it does not
// write. All of both must be here but the content of files. Errors wrap
// ErrComparable, object.ErrFork, or what s returned.
func Commit(ctx context.Context, s Store, a, b object.CommitID) (Made, error) {
	return commit(ctx, s, s, a, b)
}

// Verify computes the merge commit c again. Its error wraps ErrForged or
// ErrVersion if c is not what Commit makes, or else what r returned.
func Verify(ctx context.Context, r Reader, c *object.Commit) error {
	if c.Merge != Version {
		return fmt.Errorf("verify merge: %w: %d", ErrVersion, c.Merge)
	}
	if len(c.Parents) != 2 {
		return fmt.Errorf("verify merge: %w: %d parents", ErrForged, len(c.Parents))
	}
	want, err := commitID(c)
	if err != nil {
		return fmt.Errorf("verify merge: %w", err)
	}
	made, err := commit(ctx, r, newScratch(r), c.Parents[0], c.Parents[1])
	if errors.Is(err, ErrComparable) {
		return fmt.Errorf("verify merge %s: %w: %w", want, ErrForged, err)
	}
	if err != nil {
		return fmt.Errorf("verify merge %s: %w", want, err)
	}
	if made.ID != want {
		return fmt.Errorf("verify merge %s: %w: that is %s", want, ErrForged, made.ID)
	}
	return nil
}

func commit(ctx context.Context, r Reader, w Trees, a, b object.CommitID) (Made, error) {
	if slices.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	c := &object.Commit{Parents: []object.CommitID{a, b}, Author: author, Email: email, Message: message, Merge: Version}
	var sides [2]history
	for i, id := range c.Parents {
		p, err := r.Commit(id)
		if err != nil {
			return Made{}, fmt.Errorf("read commit %s: %w", id, err)
		}
		sides[i] = history{Side{id, p.Tree, p.FullCover(id)}, []object.CommitID{id}}
		c.Time, c.Gen = max(c.Time, p.Time), max(c.Gen, p.Gen+1)
	}
	err := object.NewLineage(r.Commit).Agree(sides[0].Cover, sides[1].Cover)
	if err == nil && (sides[0].Cover.HasAll(sides[1].Cover) || sides[1].Cover.HasAll(sides[0].Cover)) {
		err = ErrComparable
	}
	if err != nil {
		return Made{}, fmt.Errorf("merge %s and %s: %w", a, b, err)
	}
	if c.Cover, err = sides[0].Cover.Union(sides[1].Cover); err != nil {
		return Made{}, fmt.Errorf("merge %s and %s: %w", a, b, err)
	}
	mem := newScratch(r)
	an := &ancestors{ctx, r, mem}
	ancestor, err := an.common(sides[0], sides[1])
	if err != nil {
		return Made{}, fmt.Errorf("find the base of %s and %s: %w", a, b, err)
	}
	made := Made{Commit: c}
	if made.Result, err = Merge(ctx, layered{mem, w}, ancestor, sides[0].Side, sides[1].Side); err != nil {
		return Made{}, err
	}
	c.Tree = made.Tree
	made.ID, err = commitID(c)
	return made, err
}

func commitID(c *object.Commit) (object.CommitID, error) {
	data, err := object.EncodeCommit(c)
	if err != nil {
		return object.CommitID{}, err
	}
	return object.CommitID(object.Hash(object.TypeCommit, data)), nil
}
