package backend

import (
	"context"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
)

type sessions struct{ self string }

func newSessions(e *Engine) (*sessions, error) {
	s := &sessions{self: object.Fingerprint(e.o.Node.Signer.PublicKey())}
	for _, r := range e.resources {
		r.send = func(replica.Action) {}
	}
	return s, nil
}
func (s *sessions) run(ctx context.Context) error                                    { <-ctx.Done(); return nil }
func (s *sessions) status() []PeerStatus                                             { return nil }
func (s *sessions) waitMirrored(ctx context.Context) error                           { return nil }
func (s *sessions) syncNow(ctx context.Context, l []*resource, hosts []string) error { return nil }
