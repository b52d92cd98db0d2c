package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/fs"
)

// Rules of output: what a command was asked for goes to stdout, all else to
// stderr. Text is for people and may change; --json is for programs and only
// grows. What comes from file names, peers or commits is escaped in text, so
// that it can neither move a terminal's cursor nor break a table.

// printError prints "smfs: MESSAGE" and, where there is one, a line that says
// what to do next.
func (a *app) printError(err error) {
	fmt.Fprintf(a.stderr, "smfs: %s\n", clean(strings.ReplaceAll(err.Error(), "\n", "; "))) // several, joined
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", clean(hint))
	}
}

// say prints a line for people.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stdout, format+"\n", args...)
}

// warn prints a line that is not the command's result.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.stderr, "smfs: "+format+"\n", args...)
}

// printJSON prints v, with [] for every absent list.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(listed(v)); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// printJSONLine prints v on one line, for output that is a stream.
func (a *app) printJSONLine(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(listed(v))
}

// listed returns a copy of v in which no slice is nil.
func listed(v any) any {
	in := reflect.ValueOf(v)
	out := reflect.New(in.Type()).Elem()
	out.Set(in)
	fillLists(out)
	return out.Interface()
}

func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			fresh.Elem().Set(v.Elem())
			v.Set(fresh)
			fillLists(fresh.Elem())
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			fillLists(fresh.Index(i))
		}
		v.Set(fresh)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillLists(v.Field(i))
			}
		}
	}
}

// table prints rows in columns; the first row is the heading.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return w.Flush()
}

// clean escapes what a terminal would act on: control and format characters
// and bytes that are no UTF-8. A line break between printable lines stays
// out, too: it becomes \n.
func clean(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// size prints bytes with a binary unit.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 6 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGTPE"[unit])
}

// when prints a time in the local zone, to the second.
func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// short abbreviates a commit id.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// hintFor is the engine's hint, or the one this program knows for the kind of
// error.
func hintFor(err error) string {
	if h := backend.Hint(err); h != "" {
		return h
	}
	if child := new(childError); errors.As(err, &child) {
		return child.Hint
	}
	switch {
	case errors.Is(err, fs.ErrHung):
		return "its daemon may be stopped, or wait for a disk; `umount -l DIR` as root gives it up"
	case errors.Is(err, errStale):
		return "`smfs mount DIR` cleans up and mounts again; nothing journaled is lost"
	case deniedState(err):
		return "what another user, perhaps root, has made in it is in the way: `sudo chown -R \"$USER\" DIR/" + node.StateDir + "`"
	case errors.Is(err, unix.EROFS):
		return "the filesystem that holds it is mounted read-only: `mount -o remount,rw` makes it writable, unless it is damaged (see the kernel's log, and fsck)"
	case exitCode(err) == exitUsage:
		return "`smfs help` and `smfs help COMMAND` show what there is"
	}
	return ""
}

// deniedState tells that a file of smfs's own may not be opened.
func deniedState(err error) bool {
	var denied *os.PathError
	return os.Geteuid() != 0 && errors.As(err, &denied) && errors.Is(denied, os.ErrPermission) && strings.Contains(denied.Path, "/"+node.StateDir+"/")
}

// newLog is a daemon's log.
func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
