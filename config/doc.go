// Package config reads the INI file that says what a mirror holds and how it
// behaves, and decides which names a resource ignores.
//
// # Terms
//
// The base is the directory that is mirrored and mounted over. A resource is a
// part of it with a history and peers of its own; its directory is where its
// files lie, its path where they appear in the mirror. A namespaced resource,
// "docs:private", lies inside another and inherits its options. The main
// section, [::SilverMirror::], holds what all inherit.
//
// # The file
//
//	[::SilverMirror::]
//	directory = ~/mirror          ; the base. basedir is an alias
//	ignore    = *.tmp .cache/     ; gitignore patterns
//	hosts     = laptop ssh://nas.lan/volume/mirror
//	conflict  = KeepBoth          ; also conflict.push, conflict.pull, conflict.<pattern>
//	timeout   = 10                ; seconds to reach a host, or a duration: 1m30s
//	settle    = 50ms              ; how long new names and bursts wait for more
//	vcs       = ignore            ; or mirror: .git, .hg, .svn and .bzr too
//
//	[docs]
//	directory = docs              ; relative to the base; default: the section's name
//	ignore    = drafts/           ; added to what is inherited
//	hosts     = laptop            ; instead of what is inherited
//
//	[docs:private]
//
// A value ends at its line or goes on in lines that are indented deeper than
// its key. Words are separated by spaces; quotes hold one together: in "..." a
// backslash stands before a quote or a backslash, '...' is verbatim. A list of
// patterns that begins below its key has one pattern a line, spaces included. A
// comment is a line, or the end of one, that begins with ; or # at the line's
// start or after a space.
//
// Where a file in DIR/.silvermirror names no directory, DIR is the base, so
// that a mirror can be moved; elsewhere it is the home directory. A relative
// directory in the main section starts from DIR too, or else from where the file lies.
// "~" is the home directory.
//
// # Errors, concurrency
//
// What is not understood is an [*Error] with file, line, key and what was
// expected; nothing is guessed and nothing skipped. Values are not changed after
// they are made, so all goroutines may share them.
//
// Next to read: cmd/smfs, which hands a Config to package backend.
package config
