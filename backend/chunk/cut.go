package chunk

import (
	"errors"
	"io"

	"github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc"
)

// Sizes of chunks in bytes. The last one of a file may be smaller.
const (
	minChunk = 256 << 10
	avgChunk = 1 << 20
	maxChunk = 4 << 20
)

// cutpoint is where the first chunk of data ends: FastCDC with normalized chunking
// of level 2 (Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking
// Approach for Data Deduplication", USENIX ATC 2016). data is maxChunk bytes or all
// that is left. Only bytes before the cut decide where it is, and how much is left.
func cutpoint(data []byte) int {
	if len(data) <= minChunk {
		return len(data)
	}
	data = data[:min(len(data), maxChunk)]
	var gear uint64
	small := min(len(data), avgChunk)
	for i, b := range data[minChunk:small] {
		gear = gear<<1 + fastcdc.G[b]
		if gear&rare == 0 {
			return minChunk + i
		}
	}
	for i, b := range data[small:] {
		gear = gear<<1 + fastcdc.G[b]
		if gear&frequent == 0 {
			return small + i
		}
	}
	return len(data)
}

// A chunk ends where the bits of a mask are zero: one of 22 bits below the average
// size, of 18 bits above it, spread evenly from the highest down.
const (
	rare     = 0xaaaaaaaaaaa00000
	frequent = 0x9249249249249000
)

// window is what is read of a file in advance.
type window struct {
	r     io.Reader
	buf   []byte
	begin int
	end   int
	err   error // of r: after what is there
}

func newWindow(r io.Reader) *window { return &window{r: r, buf: make([]byte, 2*maxChunk)} }

// next returns maxChunk bytes, or what is left. Its error is that of the reader,
// io.EOF where nothing is left.
func (w *window) next() ([]byte, error) {
	for w.end-w.begin < maxChunk && w.err == nil {
		if len(w.buf)-w.begin < maxChunk {
			w.end = copy(w.buf, w.buf[w.begin:w.end])
			w.begin = 0
		}
		var n int
		n, w.err = w.r.Read(w.buf[w.end:])
		w.end += n
	}
	if w.err != nil && (w.begin == w.end || !errors.Is(w.err, io.EOF)) {
		return nil, w.err
	}
	return w.buf[w.begin:min(w.end, w.begin+maxChunk)], nil
}

// take passes over n bytes.
func (w *window) take(n int) { w.begin += n }
