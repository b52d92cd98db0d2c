// Package fstest is what tests and benchmarks of the whole program share: the
// program built from this source, mirrors that it runs, an ordinary user to run
// tests as, comparisons of what two mirrors show, or a mirror and its head. The
// other machine is package fstest/sshd: a real OpenSSH server that starts the
// program under test.
//
// Everything that is started ends with its test, whatever the test's outcome:
// mounts are detached, daemons killed.
package fstest
