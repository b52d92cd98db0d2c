// Package sshd gives tests an OpenSSH server of their own: own host key, own
// authorized_keys, a home directory for its clients, a port that nobody else
// has. It is the other machine of tests with a peer.
//
// A Server accepts connections itself and hands each to `sshd -i`, so there is
// no port to guess, and a test can take the host down and up again, or cut its
// connections. Commands run as the user of the test. All that was started has
// ended when the test has.
package sshd
