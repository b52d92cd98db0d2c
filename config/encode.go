package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Encode writes the config as a commented file that Parse, given c.File, reads
// back. What is inherited or default is left out.
func (c *Config) Encode() []byte {
	var b bytes.Buffer
	b.WriteString("; The mirror's configuration. A resource is a part of the mirror with a history\n" +
		"; and hosts of its own; it inherits what it does not set.\n\n")
	fmt.Fprintf(&b, "[%s]\n", mainSection)
	if d, err := defaultBase(c.File); err != nil || d != c.Base {
		writeKey(&b, "directory", quoteWhole(c.Base))
	}
	initial := defaults()
	c.Main.encode(&b, initial)
	hint(&b, len(c.Main.Ignore) == 0, "ignore    = *.tmp .cache/        ; gitignore patterns")
	hint(&b, len(c.Main.Hosts) == 0, "hosts     = laptop ssh://nas.lan/volume/mirror")
	hint(&b, c.Main.Conflict == initial.Conflict, "conflict  = KeepBoth             ; the other handlers do not act yet")
	hint(&b, c.Main.Timeout == initial.Timeout, "timeout   = 10                   ; seconds to reach a host")
	hint(&b, c.Main.Settle == initial.Settle, "settle    = 50ms                 ; new names and bursts wait this long for more")
	hint(&b, !c.Main.VCS, "vcs       = ignore               ; mirror: .git, .hg, .svn and .bzr too")
	for _, r := range c.Resources {
		c.encodeResource(&b, r)
	}
	return b.Bytes()
}

func (c *Config) encodeResource(b *bytes.Buffer, r Resource) {
	fmt.Fprintf(b, "\n[%s]\n", r.Name)
	parent := Resource{Directory: c.Base, Options: c.Main}
	name := r.Name
	if i := strings.LastIndexByte(r.Name, ':'); i >= 0 {
		name = r.Name[i+1:]
		if p := c.Resource(r.Name[:i]); p != nil {
			parent = *p
		}
	}
	if r.Directory != filepath.Join(parent.Directory, name) || r.Path != join(parent.Path, name) {
		writeKey(b, "directory", quoteWhole(c.relative(r.Directory)))
	}
	r.encode(b, parent.Options)
}

// relative writes a directory as it is written in a resource's section.
func (c *Config) relative(dir string) string {
	rest, inside := within(c.Base, dir)
	switch {
	case !inside:
		return dir
	case rest == "":
		return "."
	case rest[0] == '~':
		return "./" + rest
	}
	return rest
}

// encode writes what differs from what is inherited.
func (o Options) encode(b *bytes.Buffer, from Options) {
	if own := beyond(o.Ignore, from.Ignore); len(own) > 0 {
		writeKey(b, "ignore", quoteWords(own))
	}
	if !slices.Equal(o.Hosts, from.Hosts) {
		writeKey(b, "hosts", quoteWords(o.Hosts))
	}
	for _, h := range []struct {
		key       string
		own, from Handler
	}{
		{"conflict", o.Conflict, from.Conflict},
		{"conflict.push", o.ConflictPush, from.ConflictPush},
		{"conflict.pull", o.ConflictPull, from.ConflictPull},
	} {
		if h.own != h.from {
			writeKey(b, h.key, quoteWhole(string(h.own)))
		}
	}
	for _, p := range beyond(o.ConflictPatterns, from.ConflictPatterns) {
		writeKey(b, patternKey+p.Pattern, quoteWhole(string(p.Handler)))
	}
	if o.Timeout != from.Timeout {
		writeKey(b, "timeout", o.Timeout.String())
	}
	if o.Settle != from.Settle {
		writeKey(b, "settle", o.Settle.String())
	}
	if o.VCS != from.VCS {
		writeKey(b, "vcs", map[bool]string{true: "mirror", false: "ignore"}[o.VCS])
	}
}

// beyond returns what a list adds to the inherited one that it begins with.
func beyond[T comparable](list, inherited []T) []T {
	if len(list) >= len(inherited) && slices.Equal(list[:len(inherited)], inherited) {
		return list[len(inherited):]
	}
	return list
}

func quoteWords(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quoteWord(s)
	}
	return strings.Join(quoted, " ")
}

func writeKey(b *bytes.Buffer, key, value string) { fmt.Fprintf(b, "%-9s = %s\n", key, value) }

// hint writes a default as a comment.
func hint(b *bytes.Buffer, isDefault bool, line string) {
	if isDefault {
		b.WriteString(";" + line + "\n")
	}
}
