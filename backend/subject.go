package backend

import (
	"fmt"
	"strings"

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
	if s.actor != "" {
		text += " (" + s.actor + ")"
	}
	return text
}

// programOf is the program that a subject names, "" where it names none.
func programOf(subject string) string {
	if i := strings.LastIndex(subject, " ("); i >= 0 && strings.HasSuffix(subject, ")") {
		return subject[i+2 : len(subject)-1]
	}
	return ""
}
