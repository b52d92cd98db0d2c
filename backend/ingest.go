package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
)

// maxSkew is how far ahead of our clock a commit's time may be.
const maxSkew = 10 * time.Minute

// receive takes a pack that a peer sends, checks all of it in quarantine, and
// makes it durable. Nothing of a peer is believed: objects are hashed, trees
// decoded, covers and merges computed again, signatures verified. It runs
// beside the worker; what it stores is no head until the worker adopts it.
func (r *resource) receive(ctx context.Context, head object.CommitID, pack io.Reader) (object.Cover, error) {
	in, err := r.store.Receive(ctx, pack, store.Limits{})
	if err != nil {
		return nil, err
	}
	defer in.Discard()
	fresh, err := r.newCommits(in, head)
	if err != nil {
		return nil, err
	}
	v := &verifier{r, in, object.NewLineage(in.Commit)}
	for _, id := range fresh {
		if err := v.commit(ctx, id); err != nil {
			return nil, fmt.Errorf("commit %s: %w", id, err)
		}
	}
	if err := in.CheckConnected(head); err != nil {
		return nil, err
	}
	c, err := in.Commit(head)
	if err != nil {
		return nil, err
	}
	if err := in.Accept(); err != nil {
		return nil, err
	}
	return c.FullCover(head), nil
}

// newCommits lists the commits of head that the store does not have, parents
// before children. What the store has was verified when it came.
func (r *resource) newCommits(in *store.Incoming, head object.CommitID) ([]object.CommitID, error) {
	var order []object.CommitID
	state := map[object.CommitID]int{} // 1: parents under way, 2: done
	stack := []object.CommitID{head}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		if state[id] == 2 || r.store.Has(id) {
			stack = stack[:len(stack)-1]
			continue
		}
		if state[id] == 1 {
			state[id] = 2
			order = append(order, id)
			stack = stack[:len(stack)-1]
			continue
		}
		c, err := in.Commit(id)
		if err != nil {
			return nil, err
		}
		state[id] = 1
		stack = append(stack, c.Parents...)
	}
	return order, nil
}

// ErrUntrusted says that a peer sent something that no honest node makes.
var ErrUntrusted = errors.New("refused what the peer sent")

// verifier checks received commits, parents before children.
type verifier struct {
	r       *resource
	in      *store.Incoming
	lineage *object.Lineage
}

// commit checks what a commit claims of itself.
func (v *verifier) commit(ctx context.Context, id object.CommitID) error {
	c, err := v.in.Commit(id)
	if err != nil {
		return err
	}
	if c.Foreign() {
		return fmt.Errorf("%w: it was not made by smfs", ErrUntrusted)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	cover, gen, err := v.parentsOf(c)
	if err != nil {
		return err
	}
	if gen+1 != c.Gen || !cover.Equal(c.Cover) {
		return fmt.Errorf("%w: its cover or generation is not that of its parents", ErrUntrusted)
	}
	if c.Merge > 0 {
		return merge.Verify(ctx, v.in, c)
	}
	if err := v.r.verifyUser(c, cover); err != nil {
		return err
	}
	return verifyDots(v.in, c)
}

// verifyDots refuses tags that claim to come from commits which the commit has
// not seen: they could never be taken off again.
func verifyDots(in *store.Incoming, c *object.Commit) error {
	var old object.TreeID
	if len(c.Parents) > 0 {
		p, err := in.Commit(c.Parents[0])
		if err != nil {
			return err
		}
		old = p.Tree
	}
	d, err := diffTrees(in, old, c.Tree)
	if err != nil {
		return err
	}
	list := d.Added
	for _, p := range d.Changed {
		list = append(list, p.New)
	}
	for _, p := range list {
		for _, t := range p.Entry.Tags {
			for _, dot := range t.Dots {
				if !c.Cover.Has(dot.Writer, dot.Seq) && (dot.Writer != c.Writer || dot.Seq != c.Seq) {
					return fmt.Errorf("%w: tag %q of %q comes from a commit that it has not seen", ErrUntrusted, t.Name, p.Path)
				}
			}
		}
	}
	return nil
}

// parentsOf unites the covers of a commit's parents, which must not fork: in no
// commit's history has one number of a writer two commits.
func (v *verifier) parentsOf(c *object.Commit) (cover object.Cover, gen uint64, err error) {
	for _, p := range c.Parents {
		pc, err := v.in.Commit(p)
		if err != nil {
			return nil, 0, err
		}
		gen = max(gen, pc.Gen)
		theirs := pc.FullCover(p)
		if err := v.lineage.Agree(cover, theirs); err != nil {
			return nil, 0, err
		}
		if cover, err = cover.Union(theirs); err != nil {
			return nil, 0, err
		}
	}
	return cover, gen, nil
}

// verifyUser checks a user's commit: its signature, its number, its time.
func (r *resource) verifyUser(c *object.Commit, cover object.Cover) error {
	if _, err := object.VerifySignature(c); err != nil {
		return err
	}
	seq := uint64(1)
	if tip, ok := cover.Get(c.Writer); ok {
		seq = tip.Seq + 1
	}
	if c.Seq != seq {
		return fmt.Errorf("%w: it is number %d of its writer, not %d", ErrUntrusted, c.Seq, seq)
	}
	if ahead := time.Unix(c.Time, 0).Sub(r.now()); ahead > maxSkew {
		return WithHint(fmt.Errorf("%w: its time is %s ahead of this node's clock", errFuture, ahead.Round(time.Second)), "set the clocks of both nodes")
	}
	return nil
}
