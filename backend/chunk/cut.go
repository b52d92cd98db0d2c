package chunk

import (
	"errors"
	"fmt"
	"io"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers the algorithm
)

// Sizes of chunks in bytes. The last one of a file may be smaller.
const (
	minChunk = 256 << 10
	avgChunk = 1 << 20
	maxChunk = 4 << 20
)

// cut calls emit with each chunk of what r yields, in order. The bytes are the
// caller's during the call. It keeps one chunk in memory.
func cut(r io.Reader, emit func([]byte) error) error {
	c, err := chunkers.NewChunkerBuffer("fastcdc-v1.0.0", r,
		&chunkers.ChunkerOpts{MinSize: minChunk, NormalSize: avgChunk, MaxSize: maxChunk}, make([]byte, maxChunk))
	if err != nil {
		return fmt.Errorf("cut into chunks: %w", err)
	}
	for {
		data, err := c.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(data) > 0 {
			if err := emit(data); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}
