package chunk

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/silvermirror/smfs/backend/object"
)

// ErrSizeChanged says that a file had not the length that was announced: it
// was written to while it was read.
var ErrSizeChanged = errors.New("file changed its size while it was read")

// Put stores a file of size bytes that r yields. The sink's WriteBlob is called
// from several goroutines at once. The errors are ErrSizeChanged and those of r
// and of the sink.
func Put(r io.Reader, size int64, sink object.Sink) (c Content, err error) {
	if size > Threshold {
		return putLarge(r, size, sink)
	}
	data := make([]byte, size+1) // one more, to see a file that grew
	n, err := io.ReadFull(r, data)
	switch {
	case err == nil || int64(n) < size && isEnd(err):
		return c, ErrSizeChanged
	case !isEnd(err):
		return c, err
	}
	data = data[:n]
	if _, _, ok := ParsePointer(data); ok {
		return putLarge(bytes.NewReader(data), size, sink)
	}
	c.Blob, err = sink.WriteBlob(data)
	return c, err
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Hash is Put without storing anything: what the content would be called.
func Hash(r io.Reader, size int64) (Content, error) { return Put(r, size, hasher{}) }

// hasher is a sink that stores nothing.
type hasher struct{}

func (hasher) WriteTree(data []byte) (object.TreeID, error) {
	return object.TreeID(object.Hash(object.TypeTree, data)), nil
}

func (hasher) WriteBlob(data []byte) (object.BlobID, error) {
	return object.BlobID(object.Hash(object.TypeBlob, data)), nil
}

func putLarge(r io.Reader, size int64, sink object.Sink) (c Content, err error) {
	p := &putter{sink: sink, queue: make(chan *pending, runtime.GOMAXPROCS(0)), list: builder{sink: sink}}
	listed := make(chan error, 1)
	go func() { listed <- p.collect() }()
	err = cut(io.LimitReader(r, size+1), p.chunk)
	close(p.queue)
	if e := <-listed; err == nil || errors.Is(err, errGivenUp) {
		err = e
	}
	if err == nil && p.list.size != size {
		err = ErrSizeChanged
	}
	if err != nil {
		return c, err
	}
	if c.List, err = p.list.finish(); err != nil {
		return c, err
	}
	c.Blob, err = sink.WriteBlob(pointer(size, c.List))
	return c, err
}

// putter hands chunks to goroutines, and lists what comes back in order.
type putter struct {
	sink    object.Sink
	queue   chan *pending // in order; as long as it is full, no chunk is cut
	list    builder
	givenUp atomic.Bool // storing has failed
}

// errGivenUp ends the cutting where storing has failed.
var errGivenUp = errors.New("given up")

// pending is a chunk that is being stored.
type pending struct {
	size int
	id   object.BlobID
	err  error
	done chan struct{}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// chunk has a chunk stored.
func (p *putter) chunk(data []byte) error {
	if p.givenUp.Load() {
		return errGivenUp
	}
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	buf.Write(data)
	job := &pending{size: len(data), done: make(chan struct{})}
	p.queue <- job
	go func() {
		defer close(job.done)
		job.id, job.err = p.sink.WriteBlob(buf.Bytes())
		buffers.Put(buf)
	}()
	return nil
}

// collect lists the stored chunks. After an error it waits for what is under way.
func (p *putter) collect() (failed error) {
	for job := range p.queue {
		<-job.done
		err := job.err
		if err == nil && failed == nil {
			err = p.list.chunk(job.id, int64(job.size))
		}
		if err != nil && failed == nil {
			failed = err
			p.givenUp.Store(true)
		}
	}
	return failed
}
