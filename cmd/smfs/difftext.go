package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
)

// Colours of a diff, git's.
const (
	colourNone  = ""
	colourHead  = "\x1b[1m"
	colourHunk  = "\x1b[36m"
	colourNew   = "\x1b[32m"
	colourOld   = "\x1b[31m"
	colourReset = "\x1b[m"
)

// isTerminal tells whether people see what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// textDiff prints a diff as git does. What it prints to a terminal is coloured, and
// escaped; elsewhere it can be applied with patch(1).
type textDiff struct {
	app      *app
	terminal bool
	colours  bool
	rest     string // of a line that goes on in the next part
	failed   error  // of the last write
}

func newTextDiff(a *app) *textDiff {
	t := isTerminal(a.stdout)
	return &textDiff{app: a, terminal: t, colours: t && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"}
}

func (d *textDiff) line(colour, text string) {
	if d.terminal {
		text = visible(text)
	}
	if d.colours && colour != colourNone {
		text = colour + text + colourReset
	}
	if _, err := io.WriteString(d.app.stdout, text+"\n"); err != nil {
		d.failed = err
	}
}

func (d *textDiff) part(p backend.DiffPart) error {
	switch {
	case p.Of != nil:
		d.line(colourNone, fmt.Sprintf("%s  %s  %s  %s: %s", short(p.Of.Commit), when(p.Of.Time), clean(p.Of.Node), clean(p.Of.Resource), clean(p.Of.Subject)))
	case p.File != nil:
		d.end()
		d.file(p.File)
	default:
		text := d.rest + p.Patch
		for {
			line, rest, ended := strings.Cut(text, "\n")
			if !ended {
				break
			}
			d.line(hunkColour(line), line)
			text = rest
		}
		d.rest = text
	}
	return d.failed
}

func (d *textDiff) end() error {
	if d.rest != "" {
		d.line(hunkColour(d.rest), d.rest)
	}
	d.rest = ""
	return d.failed
}

func hunkColour(line string) string {
	if line == "" {
		return colourNone
	}
	return map[byte]string{'@': colourHunk, '+': colourNew, '-': colourOld}[line[0]]
}

// file prints what is above a file's hunks.
func (d *textDiff) file(f *backend.FileDiff) {
	from := f.Path
	if f.From != "" {
		from = f.From
	}
	was, is := quoteName("a/"+shownPath(f, from)), quoteName("b/"+shownPath(f, f.Path))
	d.line(colourHead, "diff --git "+was+" "+is)
	for _, l := range changeLines(f) {
		d.line(colourHead, l)
	}
	if f.Old == nil {
		was = "/dev/null"
	}
	if f.New == nil {
		is = "/dev/null"
	}
	switch {
	case f.Content && f.Binary:
		d.line(colourNone, binaryLine(f, was, is))
	case f.Content && f.Added+f.Deleted > 0:
		d.line(colourHead, "--- "+was)
		d.line(colourHead, "+++ "+is)
	}
}

// changeLines say all but what content differs: those that git has in its words.
func changeLines(f *backend.FileDiff) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch {
	case f.Old == nil:
		add("new %s mode %s", f.Kind, f.New.Mode)
	case f.New == nil:
		add("deleted %s mode %s", f.Kind, f.Old.Mode)
	case f.Old.Mode != f.New.Mode:
		add("old mode %s", f.Old.Mode)
		add("new mode %s", f.New.Mode)
	}
	if f.From != "" {
		add("rename from %s", quoteName(shownPath(f, f.From)))
		add("rename to %s", quoteName(shownPath(f, f.Path)))
	}
	for _, l := range []struct {
		what  string
		names []string
	}{{"tagged", f.Tagged}, {"untagged", f.Untagged}, {"attributes differ:", f.Xattrs}} {
		if len(l.names) > 0 {
			add("%s %s", l.what, clean(strings.Join(l.names, " ")))
		}
	}
	if len(lines) == 0 && !f.Content && f.Kind != "directory" {
		add("old time %s", when(f.Old.Mtime))
		add("new time %s", when(f.New.Mtime))
	}
	return lines
}

func binaryLine(f *backend.FileDiff, was, is string) string {
	line := "Binary files " + was + " and " + is + " differ"
	switch {
	case f.Old == nil:
		line += fmt.Sprintf(" (%s)", size(f.New.Size))
	case f.New == nil:
		line += fmt.Sprintf(" (%s)", size(f.Old.Size))
	default:
		line += fmt.Sprintf(" (%s, now %s", size(f.Old.Size), size(f.New.Size))
		if f.Differs > 0 {
			line += fmt.Sprintf(", of which %s in new parts", size(f.Differs))
		}
		line += ")"
	}
	return line
}

// shownPath is a path as it is shown: a directory's has a slash.
func shownPath(f *backend.FileDiff, path string) string {
	if f.Kind == "directory" {
		return path + "/"
	}
	return path
}

// quoteName quotes a name as git does where it has other than printable characters.
func quoteName(name string) string {
	odd := func(r rune) bool { return r == '"' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) }
	if strings.IndexFunc(name, odd) < 0 {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case odd(r):
			for i := range n {
				fmt.Fprintf(&b, `\%03o`, name[i])
			}
		default:
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	b.WriteByte('"')
	return b.String()
}

// visible escapes what a terminal would act on, but tabs.
func visible(line string) string {
	parts := strings.Split(line, "\t")
	for i := range parts {
		parts[i] = clean(parts[i])
	}
	return strings.Join(parts, "\t")
}

// statDiff counts lines by file. It prints at the end, when it knows how wide the
// names are.
type statDiff struct {
	app   *app
	files []*backend.FileDiff
}

func (d *statDiff) part(p backend.DiffPart) error {
	if p.File != nil {
		d.files = append(d.files, p.File)
	}
	return nil
}

// statWidth is how many plus and minus signs a line has at most.
const statWidth = 40

func (d *statDiff) end() error {
	added, deleted, most, widest := 0, 0, 0, 0
	names := make([]string, len(d.files))
	for i, f := range d.files {
		names[i] = quoteName(shownPath(f, f.Path))
		if f.From != "" {
			names[i] = quoteName(shownPath(f, f.From)) + " => " + names[i]
		}
		widest = max(widest, utf8.RuneCountInString(names[i]))
		added, deleted, most = added+f.Added, deleted+f.Deleted, max(most, f.Added+f.Deleted)
	}
	for i, f := range d.files {
		pad := strings.Repeat(" ", widest-utf8.RuneCountInString(names[i]))
		d.app.say(" %s%s | %s", names[i], pad, statText(f, most))
	}
	if len(d.files) > 0 {
		d.app.say(" %d changed, %d lines added, %d deleted", len(d.files), added, deleted)
	}
	return nil
}

func statText(f *backend.FileDiff, most int) string {
	if f.Content && f.Binary {
		was, is := int64(0), int64(0)
		if f.Old != nil {
			was = f.Old.Size
		}
		if f.New != nil {
			is = f.New.Size
		}
		return fmt.Sprintf("binary, %s -> %s", size(was), size(is))
	}
	if !f.Content || f.Added+f.Deleted == 0 {
		lines := slices.DeleteFunc(changeLines(f), func(l string) bool { return strings.HasPrefix(l, "rename ") }) // the names say so
		return strings.TrimSuffix(fmt.Sprintf("0 (%s)", strings.Join(lines, ", ")), " ()")
	}
	plus, minus := f.Added, f.Deleted
	if most > statWidth {
		scale := func(n int) int { return (n*statWidth + most - 1) / most }
		plus, minus = scale(plus), scale(minus)
	}
	return fmt.Sprintf("%d %s%s", f.Added+f.Deleted, strings.Repeat("+", plus), strings.Repeat("-", minus))
}
