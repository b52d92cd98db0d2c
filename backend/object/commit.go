package object

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits on a commit.
const (
	MaxCommit  = 4 << 20  // bytes
	MaxMessage = 64 << 10 // bytes of Message
	MaxParents = 16
	maxTime    = 1 << 40 // seconds; what every git can print
)

const (
	trailerWriter = "Smfs-Writer"
	trailerSeq    = "Smfs-Seq"
	trailerCover  = "Smfs-Cover"
	trailerGen    = "Smfs-Gen"
	trailerMerge  = "Smfs-Merge"
	trailerPrefix = "Smfs-"
)

// Foreign reports whether the commit lacks what every smfs commit has: plain
// git made it.
func (c *Commit) Foreign() bool { return c.Gen == 0 }

// EncodeCommit gives the bytes of the commit object, its signature included.
// The error, which wraps ErrInvalid, says what git or a peer would refuse;
// CleanName and CleanMessage make any text acceptable.
func EncodeCommit(c *Commit) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	return c.encode(true), nil
}

// SigningPayload is what the signature of c signs: its bytes without it.
func SigningPayload(c *Commit) ([]byte, error) {
	unsigned := *c
	unsigned.Signature = ""
	return EncodeCommit(&unsigned)
}

func (c *Commit) encode(signed bool) []byte {
	b := fmt.Appendf(nil, "tree %s\n", c.Tree)
	for _, p := range c.Parents {
		b = fmt.Appendf(b, "parent %s\n", p)
	}
	b = fmt.Appendf(b, "author %s <%s> %d +0000\n", c.Author, c.Email, c.Time)
	b = fmt.Appendf(b, "committer %s <%s> %d +0000\n", c.Author, c.Email, c.Time)
	if signed && c.Signature != "" {
		text := strings.TrimSuffix(c.Signature, "\n")
		b = fmt.Appendf(b, "gpgsig %s\n", strings.ReplaceAll(text, "\n", "\n "))
	}
	b = fmt.Appendf(b, "\n%s\n\n", c.Message)
	return c.appendTrailers(b)
}

func (c *Commit) appendTrailers(b []byte) []byte {
	if c.Writer != "" {
		b = fmt.Appendf(b, "%s: %s\n%s: %d\n", trailerWriter, c.Writer, trailerSeq, c.Seq)
	}
	for _, t := range c.Cover {
		b = fmt.Appendf(b, "%s: %s %d %s\n", trailerCover, t.Writer, t.Seq, t.Commit)
	}
	b = fmt.Appendf(b, "%s: %d\n", trailerGen, c.Gen)
	if c.Merge != 0 {
		b = fmt.Appendf(b, "%s: %d\n", trailerMerge, c.Merge)
	}
	return b
}

// Validate checks that c is a well-formed smfs commit. It does not verify the
// signature, nor what the cover claims. Its error wraps ErrInvalid.
func (c *Commit) Validate() error {
	switch {
	case c.Tree.IsZero():
		return invalid("commit has no tree")
	case len(c.Parents) > MaxParents:
		return invalid("commit has %d parents, more than %d", len(c.Parents), MaxParents)
	case c.Author == "" || CleanName(c.Author) != c.Author:
		return invalid("commit author %.100q", c.Author)
	case strings.ContainsAny(c.Email, "<>\n\x00 "):
		return invalid("commit e-mail address %.100q", c.Email)
	case c.Time < 0 || c.Time > maxTime:
		return invalid("commit time %d", c.Time)
	case c.Message == "" || CleanMessage(c.Message) != c.Message:
		return invalid("commit message %.100q is not clean", c.Message)
	case c.Gen == 0 || c.Merge < 0:
		return invalid("commit has no generation")
	case (c.Writer == "") != (c.Seq == 0):
		return invalid("commit has a writer or a number without the other")
	case c.Writer == "" && c.Merge == 0:
		return invalid("commit has neither a writer nor a merge version")
	case c.Writer != "" && c.Merge != 0:
		return invalid("merge has a writer")
	case c.Writer == "" && c.Signature != "":
		return invalid("merge has a signature")
	}
	for i, p := range c.Parents {
		if p.IsZero() || i > 0 && p == c.Parents[i-1] {
			return invalid("commit parent %s", p)
		}
	}
	if c.Writer != "" {
		if err := CheckWriter(c.Writer); err != nil {
			return err
		}
	}
	if c.Signature != "" && !isArmored(c.Signature) {
		return invalid("commit signature %.60q", c.Signature)
	}
	return c.Cover.validate()
}

// CleanName makes any text fit for the author of a commit: control characters
// and angle brackets become '_', blanks and punctuation that git strips at the
// ends go. What is left empty becomes "unknown".
func CleanName(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	if s = strings.Trim(s, " .,:;\\\"'"); s == "" {
		return "unknown"
	}
	return s
}

// CleanMessage makes any text fit for a commit message: valid UTF-8 without
// control characters, no blank at the end of a line, no line that could be
// taken for a trailer of ours, at most 64 KiB. Empty text becomes "change".
func CleanMessage(s string) string {
	if len(s) > MaxMessage {
		s = strings.ToValidUTF8(s[:MaxMessage], "")
	}
	s = strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l = strings.TrimRight(l, " \t"); strings.HasPrefix(l, trailerPrefix) {
			l = strings.TrimRight("smfs-"+l[len(trailerPrefix):], " \t")
		}
		lines[i] = l
	}
	s = strings.Trim(strings.Join(lines, "\n"), "\n")
	if s == "" {
		return "change"
	}
	return s
}

// DecodeCommit reads a commit object. What is not, byte for byte, a commit as
// EncodeCommit writes it but is a commit to git comes back as a foreign one:
// without writer, number, cover and generation.
func DecodeCommit(data []byte) (*Commit, error) {
	if len(data) > MaxCommit {
		return nil, fmt.Errorf("decode commit: %w", invalid("%d bytes, more than %d", len(data), MaxCommit))
	}
	c, err := parseCommit(string(data))
	if err != nil {
		return nil, fmt.Errorf("decode commit: %w", err)
	}
	if own, ok := parseTrailers(*c); ok && own.Validate() == nil && string(own.encode(true)) == string(data) {
		return &own, nil
	}
	return c, nil
}

// parseTrailers splits an smfs commit's message into text and trailers.
func parseTrailers(c Commit) (Commit, bool) {
	i := strings.LastIndex(c.Message, "\n\n")
	if i < 0 || !strings.HasPrefix(c.Message[i+2:], trailerPrefix) {
		return c, false
	}
	text := strings.TrimSuffix(c.Message[i+2:], "\n")
	c.Message = c.Message[:i]
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		if !c.setTrailer(key, value) {
			return c, false
		}
	}
	return c, true
}

func (c *Commit) setTrailer(key, value string) bool {
	var err error
	switch key {
	case trailerWriter:
		c.Writer = value
	case trailerSeq:
		c.Seq, err = strconv.ParseUint(value, 10, 64)
	case trailerGen:
		c.Gen, err = strconv.ParseUint(value, 10, 64)
	case trailerMerge:
		c.Merge, err = strconv.Atoi(value)
	case trailerCover:
		var t Tip
		if t, err = parseTip(value); err == nil {
			c.Cover = append(c.Cover, t)
		}
	default:
		return false
	}
	return err == nil
}

func parseTip(s string) (t Tip, err error) {
	f := strings.Split(s, " ")
	if len(f) != 3 {
		return t, invalid("tip %.100q", s)
	}
	t.Writer = f[0]
	if t.Seq, err = strconv.ParseUint(f[1], 10, 64); err != nil {
		return t, err
	}
	t.Commit, err = ParseCommitID(f[2])
	return t, err
}
