package backend

import (
	"context"
	"io"

	"github.com/silvermirror/smfs/backend/peer"
)

// dial reaches a peer's smfs.
func (s *sessions) dial(ctx context.Context, spec PeerSpec) (io.ReadWriteCloser, error) {
	return nil, peer.ErrUnsupported
}
