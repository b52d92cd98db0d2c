package object

import (
	"strconv"
	"strings"

	"github.com/silvermirror/smfs/tags"
)

// metaHeader is the first line of every metadata blob.
const metaHeader = "smfs-meta 1\n"

// MetaPrefix is how every metadata blob begins. Other blobs may do so, too.
const MetaPrefix = metaHeader

// appendMeta appends the line of one entry:
//
//	<name> <file id>[ m=<octal mode>][ t=<mtime>][ x=<xattrs>][ g=<tags>][ c=<file id>]\n
//
// What has its default is left out, so that a line has one form.
func appendMeta(b []byte, e *Entry) []byte {
	b = appendEscaped(b, e.Name, "")
	b = append(b, ' ')
	b = fileIDText.AppendEncode(b, e.ID[:])
	if e.Mode != defaultMode(e.Kind, gitMode(e)) {
		b = append(b, " m="...)
		b = strconv.AppendUint(b, uint64(e.Mode), 8)
	}
	if e.Mtime != 0 {
		b = append(b, " t="...)
		b = strconv.AppendInt(b, e.Mtime, 10)
	}
	if len(e.Xattrs) > 0 {
		b = appendXattrs(append(b, " x="...), e.Xattrs)
	}
	if len(e.Tags) > 0 {
		b = appendTags(append(b, " g="...), e.Tags)
	}
	if !e.Conflict.IsZero() {
		b = append(b, " c="...)
		b = fileIDText.AppendEncode(b, e.Conflict[:])
	}
	return append(b, '\n')
}

// parseMeta reads one line (without its newline) into e, whose Kind and git
// mode come from the tree. It may accept more than appendMeta writes; the
// caller compares the canonical form.
func parseMeta(line []byte, kind Kind, mode GitMode) (Entry, error) {
	e := Entry{Kind: kind, Mode: defaultMode(kind, mode)}
	fields := strings.Split(string(line), " ")
	if len(fields) < 2 {
		return e, invalid("metadata line %.100q", line)
	}
	var err error
	if e.Name, err = unhex(fields[0]); err != nil {
		return e, err
	}
	if e.ID, err = ParseFileID(fields[1]); err != nil {
		return e, err
	}
	for _, f := range fields[2:] {
		if err = e.parseField(f); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (e *Entry) parseField(f string) error {
	key, value, _ := strings.Cut(f, "=")
	var err error
	switch key {
	case "m":
		var m uint64
		m, err = strconv.ParseUint(value, 8, 16)
		e.Mode = uint32(m)
	case "t":
		e.Mtime, err = strconv.ParseInt(value, 10, 64)
	case "x":
		e.Xattrs, err = parseXattrs(value)
	case "g":
		e.Tags, err = parseTags(value)
	case "c":
		e.Conflict, err = ParseFileID(value)
	default:
		return invalid("metadata field %.50q", f)
	}
	if err != nil {
		return invalid("metadata field %.50q: %v", f, err)
	}
	return nil
}

func appendXattrs(b []byte, xs []Xattr) []byte {
	for i, x := range xs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEscaped(b, x.Name, ",=")
		b = append(b, '=')
		b = appendEscaped(b, x.Value, ",=")
	}
	return b
}

func parseXattrs(s string) ([]Xattr, error) {
	xs := make([]Xattr, 0, 1)
	for part := range strings.SplitSeq(s, ",") {
		if len(xs) >= MaxXattrs {
			return nil, invalid("more than %d extended attributes", MaxXattrs)
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := unhex(name)
		if err != nil {
			return nil, err
		}
		v, err := unhex(value)
		if err != nil {
			return nil, err
		}
		xs = append(xs, Xattr{Name: n, Value: v})
	}
	return xs, nil
}

// appendTags writes name@writer:seq+writer:seq,...
func appendTags(b []byte, set tags.Set) []byte {
	for i, t := range set {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEscaped(b, t.Name, ",@")
		for j, d := range t.Dots {
			b = append(b, "@+"[min(j, 1)])
			b = append(b, d.Writer...)
			b = append(b, ':')
			b = strconv.AppendUint(b, d.Seq, 10)
		}
	}
	return b
}

func parseTags(s string) (tags.Set, error) {
	set := make(tags.Set, 0, 1)
	for part := range strings.SplitSeq(s, ",") {
		if len(set) >= MaxTags {
			return nil, invalid("more than %d tags", MaxTags)
		}
		name, dots, _ := strings.Cut(part, "@")
		n, err := unhex(name)
		if err != nil {
			return nil, err
		}
		t := tags.Tag{Name: n}
		for text := range strings.SplitSeq(dots, "+") {
			writer, seq, _ := strings.Cut(text, ":")
			k, err := strconv.ParseUint(seq, 10, 64)
			if err != nil || len(t.Dots) >= MaxDots {
				return nil, invalid("tag %q: bad dots", n)
			}
			t.Dots = append(t.Dots, tags.Dot{Writer: writer, Seq: k})
		}
		set = append(set, t)
	}
	return set, nil
}

// appendEscaped writes s with blanks, control characters, '%' and the bytes in
// also as %hh. All else, UTF-8 or not, stays as it is.
func appendEscaped(b []byte, s, also string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '%' || c == 0x7f || also != "" && strings.IndexByte(also, c) >= 0 {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// gitMode is how the tree shows the entry.
func gitMode(e *Entry) GitMode {
	switch {
	case e.Kind == Dir:
		return GitTree
	case e.Kind == Symlink:
		return GitSymlink
	case e.Mode&0o100 != 0:
		return GitExecutable
	}
	return GitFile
}

func defaultMode(kind Kind, mode GitMode) uint32 {
	switch {
	case kind == Symlink:
		return 0
	case kind == Dir || mode == GitExecutable:
		return 0o755
	}
	return 0o644
}
