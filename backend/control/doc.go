// Package control carries the engine's API over a unix socket: the one way in
// which commands, and the sessions that a peer's ssh starts, reach the process
// that owns a mirror.
//
// # Protocol
//
// HTTP/1.1. Every method of backend.API is a POST with a JSON body to
// /v1/NAME. The reply is JSON with status 200, or a failure {code, message,
// hint} with another status; code names one of the sentinels of package
// backend, so that errors.Is works on both sides. Log, Diff, Fsck and Restore reply with a
// stream of frames (see frame) whose last one says how it ended: a reply that
// was cut off is never taken for a complete one. /v1/session switches the
// connection to a raw byte stream. GET /v1/hello tells who answers.
//
// Names on disk are bytes, JSON strings are not: strings are escaped on the
// wire where they are no valid UTF-8 (see escape).
//
// # Terms
//
// A Server serves one engine; a Client is a backend.API; a session is the raw
// stream; a handover asks an engine without a mount to end so that another
// process can take the mirror.
//
// # Trust
//
// The socket's directory is 0700 and owned by the user; beyond that, the
// kernel's word on the other side's uid (SO_PEERCRED) is checked on each
// connection by both sides: the same user or root.
//
// # Concurrency
//
// Server and Client may be used by any number of goroutines. When a client
// goes away or cancels, the context of the call on the server is cancelled.
//
// Nothing here survives a crash; a socket file that nobody answers is removed
// by the next Listen. Read package node next for the lock file that names the
// socket, then package backend for what the calls mean.
package control
