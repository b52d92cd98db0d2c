package control

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/silvermirror/smfs/backend"
)

func TestSessionIsRaw(t *testing.T) {
	const greeting = "engine speaks first"
	ended := make(chan error, 1)
	s := start(t, Options{API: &fakeAPI{}, Session: func(_ context.Context, stream io.ReadWriteCloser) error {
		if _, err := io.WriteString(stream, greeting); err != nil {
			return err
		}
		_, err := io.Copy(stream, stream) // until the client's CloseWrite
		ended <- err
		return err
	}})
	stream, err := dial(t, s).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	const said = "\x00\xffHTTP/1.1 200 OK\r\n\r\n"
	if _, err := io.WriteString(stream, said); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(stream)
	if err != nil || string(got) != greeting+said {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("engine's side: %v", err)
	}
}

func TestSessionEndsWithTheEngine(t *testing.T) {
	started := make(chan struct{})
	ended := make(chan error, 1)
	s := start(t, Options{API: &fakeAPI{}, Session: func(ctx context.Context, stream io.ReadWriteCloser) error {
		close(started)
		_, err := stream.Read(make([]byte, 1)) // nothing comes
		ended <- ctx.Err()
		return err
	}})
	stream, err := dial(t, s).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	<-started
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the session's context: %v", err)
	}
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("client's side: %v", err)
	}
}

func TestSessionRefused(t *testing.T) {
	s := start(t, Options{API: &fakeAPI{}})
	if _, err := dial(t, s).Session(t.Context()); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("session without a handler: %v", err)
	}
}
