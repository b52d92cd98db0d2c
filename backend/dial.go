package backend

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/silvermirror/smfs/backend/peer"
)

// dial reaches a peer's smfs by ssh.
func (s *sessions) dial(ctx context.Context, spec PeerSpec) (io.ReadWriteCloser, error) {
	u, err := peer.ParseURL(spec.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	stream, err := s.dialer.Dial(ctx, u, spec.Command)
	switch {
	case errors.Is(err, peer.ErrUnreachable):
		return nil, &ofKind{err, ErrUnreachable}
	case errors.Is(err, peer.ErrHostUnknown), errors.Is(err, peer.ErrHostChanged), errors.Is(err, peer.ErrAuth):
		return nil, &ofKind{err, ErrRefused}
	case err != nil:
		return nil, err
	}
	return stream, nil
}
