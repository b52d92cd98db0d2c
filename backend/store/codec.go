package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"

	"github.com/silvermirror/smfs/backend/object"
)

// codec keeps the deflaters and inflaters of one store for reuse: they are
// large. It is safe for concurrent use.
type codec struct {
	inflaters sync.Pool
	deflaters sync.Pool
}

// inflater reads one zlib stream out of a pack.
type inflater struct {
	codec *codec
	in    *bufio.Reader
	z     io.ReadCloser
	count countingReader
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// inflate starts reading the zlib stream in bytes [at, end) of r.
func (c *codec) inflate(r io.ReaderAt, at, end int64) (*inflater, error) {
	f, _ := c.inflaters.Get().(*inflater)
	if f == nil {
		f = &inflater{codec: c, in: bufio.NewReaderSize(nil, 16<<10)}
	}
	f.count = countingReader{r: io.NewSectionReader(r, at, end-at)}
	f.in.Reset(&f.count)
	var err error
	if f.z == nil {
		f.z, err = zlib.NewReader(f.in)
	} else {
		err = f.z.(zlib.Resetter).Reset(f.in, nil)
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("%w: %w", ErrBadPack, noEOF(err))
	}
	return f, nil
}

func (f *inflater) Read(p []byte) (int, error) { return f.z.Read(p) }

// consumed is the number of raw bytes that the stream took so far.
func (f *inflater) consumed() int64 { return f.count.n - int64(f.in.Buffered()) }

// end checks that the stream ends here, with its checksum.
func (f *inflater) end() error {
	var one [1]byte
	n, err := io.ReadFull(f.z, one[:])
	if n != 0 {
		return fmt.Errorf("%w: object is longer than its size", ErrBadPack)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrBadPack, err)
	}
	return nil
}

// all reads the stream to its end, which must come after size bytes. Memory
// grows with what is there, not with what size claims.
func (f *inflater) all(size int64) ([]byte, error) {
	const trusted = 4 << 20
	var b bytes.Buffer
	b.Grow(int(min(size, trusted)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(f.z, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadPack, noEOF(err))
	}
	if n != size {
		return nil, fmt.Errorf("%w: object is shorter than its size", ErrBadPack)
	}
	return b.Bytes(), f.end()
}

func (f *inflater) close() {
	f.count.r = nil
	f.codec.inflaters.Put(f)
}

// noEOF keeps a stream cut short from looking like its proper end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// deflate appends data as a zlib stream to out. Data that does not shrink is
// stored as it is.
func (c *codec) deflate(out *bytes.Buffer, data []byte) {
	if len(data) >= 32<<10 && !c.shrinks(data) {
		storeZlib(out, data)
		return
	}
	w := c.deflater(out)
	w.Write(data) // a bytes.Buffer takes all
	c.release(w)
}

// deflateObject appends the whole pack entry of an object to out.
func (c *codec) deflateObject(out *bytes.Buffer, kind object.Type, data []byte) {
	out.Write(appendEntryHeader(out.AvailableBuffer(), kind, int64(len(data))))
	c.deflate(out, data)
}

// storeObject is deflateObject without deflating: see pack.unshrunk.
func storeObject(out *bytes.Buffer, kind object.Type, data []byte) {
	out.Write(appendEntryHeader(out.AvailableBuffer(), kind, int64(len(data))))
	storeZlib(out, data)
}

// minStored is from which size on, in bytes, what an edit makes of a directory is
// stored as it is, until packs are merged: to shrink it costs more than all else in
// the commit of a small change, and it is soon the older version of another.
const minStored = 4 << 10

// storedAt is where the data begins in a zlib stream that stores it as it is.
const storedAt = 2 + 5

// unshrunk tells whether an entry, which ends at end, is part of a directory that
// was stored as it is.
func (p *pack) unshrunk(e entry, end int64) bool {
	if e.size < minStored || end-e.data <= e.size {
		return false
	}
	if e.kind == object.TypeBlob && e.size <= object.MaxMeta {
		var begin [len(object.MetaPrefix)]byte
		_, err := p.r.ReadAt(begin[:], e.data+storedAt)
		return err == nil && string(begin[:]) == object.MetaPrefix
	}
	return e.kind == object.TypeTree
}

// deflated is deflateObject for callers that keep the bytes.
func (c *codec) deflated(kind object.Type, data []byte) []byte {
	var out bytes.Buffer
	c.deflateObject(&out, kind, data)
	return out.Bytes()
}

// shrinks tries the first bytes of data.
func (c *codec) shrinks(data []byte) bool {
	const sample = 16 << 10
	data = data[:min(len(data), sample)]
	var n countingWriter
	w := c.deflater(&n)
	w.Write(data)
	c.release(w)
	return n < countingWriter(len(data)-len(data)/32)
}

type countingWriter int64

func (n *countingWriter) Write(p []byte) (int, error) {
	*n += countingWriter(len(p))
	return len(p), nil
}

// deflater returns a fast zlib writer onto w; release closes it.
func (c *codec) deflater(w io.Writer) *zlib.Writer {
	if z, ok := c.deflaters.Get().(*zlib.Writer); ok {
		z.Reset(w)
		return z
	}
	z, err := zlib.NewWriterLevel(w, zlib.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return z
}

func (c *codec) release(z *zlib.Writer) error {
	err := z.Close()
	c.deflaters.Put(z)
	return err
}
