package sshd

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A port is one of 127.0.0.1 that is kept while nobody listens at it: who
// connects is refused, and the kernel gives it to nobody else. A socket that is
// bound and does not listen holds it.
type port struct {
	number int
	fd     int
}

func reservePort() (p port, err error) {
	p.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return p, fmt.Errorf("reserve a port: %w", err)
	}
	err = shared(p.fd)
	if err == nil {
		err = unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at unix.Sockaddr
	if err == nil {
		at, err = unix.Getsockname(p.fd)
	}
	if err != nil {
		unix.Close(p.fd)
		return p, fmt.Errorf("reserve a port: %w", err)
	}
	p.number = at.(*unix.SockaddrInet4).Port
	return p, nil
}

// shared lets several sockets of this user be bound to one port.
func shared(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

func (p port) free() { unix.Close(p.fd) }

func (p port) listen() (*net.TCPListener, error) {
	var conf net.ListenConfig
	conf.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = shared(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}
	l, err := conf.Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", fmt.Sprint(p.number)))
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}
