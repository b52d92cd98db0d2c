package backend

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// summary gathers what a commit does, for its subject: one change is named,
// several are counted under the directory that they have in common.
type summary struct {
	verb    string
	path    string // of the first change
	dir     string // common to all
	actor   string // of all; "" where they differ
	changes int
}

func (s *summary) added(path string, a journal.Actor)   { s.note("add", path, a) }
func (s *summary) edited(path string, a journal.Actor)  { s.note("edit", path, a) }
func (s *summary) deleted(path string, a journal.Actor) { s.note("delete", path, a) }

func (s *summary) renamed(from, to string, a journal.Actor) {
	if from == "" || from == to {
		s.note("rename", to, a)
		return
	}
	s.note("rename "+from+" to", to, a)
}

func (s *summary) note(verb, path string, a journal.Actor) {
	s.changes++
	dir, _ := splitPath(path)
	if s.changes == 1 {
		s.verb, s.path, s.dir, s.actor = verb, path, dir, a.Command
		return
	}
	if s.actor != a.Command {
		s.actor = ""
	}
	for s.dir != "" && dir != s.dir && !strings.HasPrefix(dir, s.dir+"/") {
		s.dir, _ = splitPath(s.dir)
	}
}

// subject is the commit's first line: `edit report.txt (vim)`, `12 changes in
// docs/ (git)`.
func (s *summary) subject() string {
	var text string
	switch {
	case s.changes == 0:
		text = "change attributes"
	case s.changes == 1:
		text = s.verb + " " + s.path
	case s.dir == "":
		text = fmt.Sprintf("%d changes", s.changes)
	default:
		text = fmt.Sprintf("%d changes in %s/", s.changes, s.dir)
	}
	switch {
	case s.actor != "":
		text += " (" + s.actor + ")"
	case strings.HasSuffix(text, ")"):
		text += " ()" // what ends the name is no program
	}
	return strings.ReplaceAll(text, "\n", "?") // names may have line breaks, subjects not
}

// committed are the first words of the subjects above.
var committed = regexp.MustCompile(`^(add|edit|delete|rename|\d+ changes|change attributes)\b`)

// programOf is the program that a commit's message names, "" where it names
// none: what a command or a person wrote may end in brackets as well.
func programOf(message string) string {
	subject := firstLine(message)
	if message != subject || !committed.MatchString(subject) {
		return ""
	}
	if i := strings.LastIndex(subject, " ("); i >= 0 && strings.HasSuffix(subject, ")") {
		return subject[i+2 : len(subject)-1]
	}
	return ""
}

// commandMark begins the line, a paragraph of its own at the end of the message,
// that says which command made a commit. The committer's have none.
const commandMark = "\n\nBy: smfs "

// byCommand is the message of a commit that a command makes.
func byCommand(command, text string) string {
	text = object.CleanMessage(text)
	if room := object.MaxMessage - len(commandMark) - len(command); len(text) > room {
		text = object.CleanMessage(text[:room])
	}
	return text + commandMark + command
}

// splitMessage parts a message into its text and the command that made it, "" for
// the committer's.
func splitMessage(message string) (text, command string) {
	if i := strings.LastIndex(message, commandMark); i >= 0 && !strings.Contains(message[i+len(commandMark):], "\n") {
		return message[:i], message[i+len(commandMark):]
	}
	return message, ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// bodyOf is what a message says below its subject.
func bodyOf(message string) string {
	text, _ := splitMessage(message)
	_, body, _ := strings.Cut(text, "\n")
	return strings.Trim(body, "\n")
}
