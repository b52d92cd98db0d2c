// Package node keeps what makes a directory a mirror on one machine: the state
// directory with its config file, the device key, the mirror's id, and the lock
// that lets one engine at a time have it.
//
// # Terms
//
// The base directory is what gets mirrored, and what smfs mounts over. The
// state directory is .silvermirror in it. A node is one mirror on one machine:
// it has a name for people and a key for machines. The mirror id names the
// node's runtime directory (its socket); it never leaves the machine.
//
// # On disk
//
//	.silvermirror/            0700
//	  config.ini              written once, then the user's own
//	  node.json               {"format":1,"mirror":ID,"name":NAME}
//	  node.key, node.pub      ed25519, OpenSSH format; the key is 0600
//	  lock                    flock; JSON of Holder while an engine runs, empty after a clean end
//
// Each file appears complete or not at all (temporary, fsync, link), and none
// is ever overwritten: Create on an existing mirror adds what is missing. Two
// processes may create the same mirror at once; both end with the same files.
//
// # Paths
//
// An engine that serves a mount sees its state through a path such as
// /proc/self/fd/9/.silvermirror, so functions take the state directory as a
// string that is only ever extended by "/name".
//
// Read package control next for what listens at the socket that the lock names.
package node
