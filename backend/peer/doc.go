// Package peer carries the exchange between two nodes: a session with
// multiplexed calls over one byte stream, and the ssh client that gets such a
// stream to another machine. It knows what is said, not what it means: the
// engine decides through its Handler.
//
// # Terms
//
// A peer is another node that shares resources with this one. A session is one
// connection to it; either side may have started it, and both may call. A call
// is one request and one reply, some with a payload: a pack on its way.
//
// # On the wire
//
// Both sides send the line "smfs-peer/1\n", and having read the other's, a
// frame with their Hello. After that the stream is a yamux session, and every
// call a stream in it. A frame is
//
//	type    1 byte
//	length  4 bytes, big endian
//	body
//
// with the types
//
//	H  Hello, JSON; at most 4 MiB
//	Q  request, JSON; at most 4 MiB; the first frame of a call
//	R  reply, JSON; at most 4 MiB; the last one
//	d  a piece of the payload; at most 64 KiB
//	D  the same, and asks for an A
//	E  end of the payload, empty
//	X  the payload will not be completed; text
//	A  8 bytes, big endian: how much of the payload was taken so far. Sent when
//	   asked for, and now and then while a call takes long, as a sign of life
//
// A payload without its E is damaged, however the stream ended.
//
// # Trust
//
// The peer is not trusted: lengths are capped before memory is taken, fields
// are validated, text is escaped before it goes into an error, idle calls and
// silent connections end by themselves, and the number of calls at a time is
// limited. Who the peer is, is the transport's matter; Hello.Node is a claim.
//
// # Speed
//
// A payload is sent in pieces of 32 KiB, and only as much is under way as keeps
// the delay low (see pacer), so that a small call overtakes a large push.
//
// # Concurrency
//
// All methods of a Session may be called at any time by any number of
// goroutines. Nothing here survives a crash, and nothing needs to.
//
// Read package replica next, for what the engine does with what it is told.
package peer
