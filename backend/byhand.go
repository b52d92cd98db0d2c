package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// Commit commits all that has changed with a message of the user's. What changes
// is committed by itself within moments, so often nothing is left: the commit then
// has the tree of the one before, and marks that point of the history.
func (e *Engine) Commit(ctx context.Context, o CommitOptions) ([]Committed, error) {
	if strings.TrimSpace(o.Message) == "" {
		return nil, fmt.Errorf("%w: an empty message", ErrInvalid)
	}
	list, err := e.resourcesOf(o.Resources)
	if err != nil {
		return nil, err
	}
	var out []Committed
	var empty error
	for _, r := range list {
		c := Committed{Resource: r.name}
		err := r.do(ctx, func() error { return r.commitByHand(ctx, o.Message, &c) })
		switch {
		case errors.Is(err, ErrNotFound) && len(o.Resources) == 0:
			empty = err // the others are not
		case err != nil:
			return out, err
		default:
			out = append(out, c)
		}
	}
	if len(o.Resources) == 0 && len(e.broken) > 0 {
		return out, e.broken[0].err
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, empty
}

func (r *resource) commitByHand(ctx context.Context, text string, out *Committed) error {
	before, _ := r.headNow()
	r.message = byCommand("commit", text)
	err := r.refresh(ctx)
	message := object.CleanMessage(r.message)
	r.message = ""
	if err == nil {
		err = r.publishNext()
	}
	if err != nil {
		return err
	}
	out.Pending = r.journal.Pending(r.name)
	id, head := r.headNow()
	if head == nil {
		return WithHint(fmt.Errorf("%w: %s has no file to commit", ErrNotFound, r.name), "its history begins with the first file in it")
	}
	if out.Changed = id != before && head.Message == message; !out.Changed {
		if id, err = r.markPoint(ctx, head.Tree, message); err != nil {
			return err
		}
	}
	out.Commit = id.String()
	return nil
}

// markPoint makes a commit that changes nothing.
func (r *resource) markPoint(ctx context.Context, tree object.TreeID, message string) (object.CommitID, error) {
	batch, err := r.store.NewBatch()
	if err != nil {
		return object.CommitID{}, err
	}
	defer batch.Discard()
	return r.commitTree(ctx, batch, tree, message)
}
