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

// Sink takes the objects that a file is made of.
type Sink interface {
	object.Sink
	// Has tells whether an object is there.
	Has(id [20]byte) bool
}

// Put stores a file of size bytes that r yields. was is the list of its chunks
// before, or zero: what prints knows of them is not stored again where the sink has
// it. The sink's WriteBlob is called from several goroutines at once. The errors
// are ErrSizeChanged and those of r and of the sink.
func Put(r io.Reader, size int64, sink Sink, prints *Prints, was object.TreeID) (c Content, err error) {
	if size > Threshold {
		return putLarge(r, size, sink, prints.recall(was))
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
		return putLarge(bytes.NewReader(data), size, sink, prints.recall(was))
	}
	c.Blob, err = sink.WriteBlob(data)
	return c, err
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Hash is Put without storing anything: what the content would be called.
func Hash(r io.Reader, size int64) (Content, error) {
	return Put(r, size, hasher{}, nil, object.TreeID{})
}

// hasher is a sink that stores nothing.
type hasher struct{}

func (hasher) WriteTree(data []byte) (object.TreeID, error) {
	return object.TreeID(object.Hash(object.TypeTree, data)), nil
}

func (hasher) WriteBlob(data []byte) (object.BlobID, error) {
	return object.BlobID(object.Hash(object.TypeBlob, data)), nil
}

func (hasher) Has([20]byte) bool { return false }

func putLarge(r io.Reader, size int64, sink Sink, before *recall) (c Content, err error) {
	p := &putter{sink: sink, queue: make(chan *pending, runtime.GOMAXPROCS(0)), list: builder{sink: sink}}
	listed := make(chan error, 1)
	go func() { listed <- p.collect() }()
	err = p.cut(newWindow(io.LimitReader(r, size+1)), before)
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
	before.remember(c.List, p.prints)
	c.Blob, err = sink.WriteBlob(pointer(size, c.List))
	return c, err
}

// putter hands chunks to goroutines, and lists what comes back in order.
type putter struct {
	sink    Sink
	queue   chan *pending // in order; as long as it is full, no chunk is cut
	list    builder
	prints  []print     // of the chunks that are listed
	givenUp atomic.Bool // storing has failed
}

// errGivenUp ends the cutting where storing has failed.
var errGivenUp = errors.New("given up")

// pending is a chunk that is being stored.
type pending struct {
	print
	err  error
	done chan struct{}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// cut has chunk after chunk stored.
func (p *putter) cut(file *window, before *recall) error {
	for {
		data, err := file.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.givenUp.Load() {
			return errGivenUp
		}
		c, old := before.next(data)
		p.chunk(data[:c.size], c, old && p.sink.Has(c.id))
		file.take(c.size)
	}
}

// chunk has a chunk stored that is not there.
func (p *putter) chunk(data []byte, c print, there bool) {
	job := &pending{print: c, done: make(chan struct{})}
	p.queue <- job
	if there {
		close(job.done)
		return
	}
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	buf.Write(data)
	go func() {
		defer close(job.done)
		job.id, job.err = p.sink.WriteBlob(buf.Bytes())
		buffers.Put(buf)
	}()
}

// collect lists the stored chunks. After an error it waits for what is under way.
func (p *putter) collect() (failed error) {
	for job := range p.queue {
		<-job.done
		err := job.err
		if err == nil && failed == nil {
			err = p.list.chunk(job.id, int64(job.size))
			p.prints = append(p.prints, job.print)
		}
		if err != nil && failed == nil {
			failed = err
			p.givenUp.Store(true)
		}
	}
	return failed
}
