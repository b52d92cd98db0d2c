package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Remote is the standard input and output of a command on another host: the
// byte stream of a session. Close ends the command and the connection.
type Remote struct {
	command string
	host    *hop
	session *ssh.Session
	stdin   io.WriteCloser
	stdout  io.Reader

	stderr tail
	ended  chan struct{} // closed when the command has, and stderr is read
	status error         // of it; read after ended

	closing sync.Once
}

// startRemote starts a command. The host is closed with the Remote, and left
// open if it fails.
func startRemote(ctx context.Context, host *hop, command string) (*Remote, error) {
	stop := context.AfterFunc(ctx, func() { host.Client.Close() })
	defer stop()
	session, err := host.NewSession()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	r := &Remote{command: command, host: host, session: session, ended: make(chan struct{})}
	stderr, err := r.pipes()
	if err == nil {
		err = session.Start(command)
	}
	if err != nil {
		session.Close()
		return nil, fmt.Errorf("run %s: %w", command, err)
	}
	go func() {
		defer close(r.ended)
		io.Copy(&r.stderr, stderr) // ends with the channel
		r.status = session.Wait()
	}()
	return r, nil
}

func (r *Remote) pipes() (stderr io.Reader, err error) {
	if r.stdin, err = r.session.StdinPipe(); err != nil {
		return nil, err
	}
	if r.stdout, err = r.session.StdoutPipe(); err != nil {
		return nil, err
	}
	return r.session.StderrPipe()
}

func (r *Remote) Read(p []byte) (int, error)  { return r.stdout.Read(p) }
func (r *Remote) Write(p []byte) (int, error) { return r.stdin.Write(p) }

// Close ends the connection and waits for what belongs to it. Idempotent.
func (r *Remote) Close() error {
	r.closing.Do(func() {
		r.session.Close()
		r.host.Close()
	})
	<-r.ended
	return nil
}

// Stderr is the end of what the command wrote to its standard error so far.
func (r *Remote) Stderr() string { return r.stderr.String() }

// RemoteError is the end of the remote command, with what it had to say.
type RemoteError struct {
	Command string
	Status  int    // its exit status; -1 if there was none
	Stderr  string // the end of its standard error, escaped
	Err     error  // how that was noticed
}

func (e *RemoteError) Unwrap() error { return e.Err }

func (e *RemoteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v; the command there, %s,", e.Err, e.Command)
	if e.Status >= 0 {
		fmt.Fprintf(&b, " ended with status %d", e.Status)
	} else {
		b.WriteString(" was cut off")
	}
	if e.Stderr != "" {
		fmt.Fprintf(&b, ": %s", e.Stderr)
	}
	if e.NotFound() {
		b.WriteString(". smfs is not in the PATH that ssh gives there: tell where it is by `--command PATH`")
	}
	return b.String()
}

// NotFound reports whether the remote shell found no such command.
func (e *RemoteError) NotFound() bool {
	return e.Status == 127 || e.Status > 0 && strings.Contains(e.Stderr, "not found")
}

// Explain adds to err how the command ended and what it wrote to its standard
// error. It waits up to three seconds for the command to end.
func (r *Remote) Explain(err error) error {
	wait := time.NewTimer(3 * time.Second)
	defer wait.Stop()
	e := &RemoteError{Command: r.command, Status: -1, Err: err}
	select {
	case <-r.ended:
		var exit *ssh.ExitError
		if errors.As(r.status, &exit) {
			e.Status = exit.ExitStatus()
		} else if r.status == nil {
			e.Status = 0
		}
	case <-wait.C:
		if r.Stderr() == "" {
			return err
		}
	}
	if e.Stderr = lines(r.Stderr()); e.Stderr == "" && e.Status <= 0 {
		return err // nothing to add
	}
	return e
}

// lines makes one line of several.
func lines(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, clean(l, maxText))
		}
	}
	return strings.Join(out, " | ")
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[max(0, len(p)-maxTail):]...)
	if over := len(t.buf) - maxTail; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// remoteCommand is what the login shell there is given.
func remoteCommand(command, path string) string {
	if command == "" {
		command = "smfs"
	}
	if rest, ok := strings.CutPrefix(command, "~/"); ok {
		command = "./" + rest // commands start in the login directory
	}
	out := quote(command) + " serve --stdio"
	if path == "" {
		return out
	}
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return out + " " + quote(path)
}

// quote makes one word for any POSIX shell, csh and fish.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
