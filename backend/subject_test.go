package backend

import (
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

func TestProgramOf(t *testing.T) {
	subject := func(command string, paths ...string) string {
		s := &summary{}
		for _, p := range paths {
			s.edited(p, journal.Actor{Command: command})
		}
		return s.subject()
	}
	for message, want := range map[string]string{
		subject("vim", "a"):                        "vim",
		subject("git", "d/a", "d/b"):               "git",
		subject("vim", "a (copy)"):                 "vim",
		subject("(sd-pam)", "a"):                   "(sd-pam)",
		subject("", "a"):                           "",
		subject("", "New Folder (2)"):              "",
		subject("", "a\n\nBy: smfs undo"):          "",
		subject("", "d (2)/a", "d (2)/b"):          "",
		"change attributes (chmod)":                "chmod",
		"restore report (old) from 0123456789":     "",
		"tag a: x (y)":                             "",
		"fix things (again)":                       "",
		byCommand("commit", "edit things (again)"): "",
	} {
		if got := programOf(message); got != want {
			t.Errorf("%q names %q, not %q", message, got, want)
		}
	}
}

func TestByCommand(t *testing.T) {
	for _, text := range []string{"subject", "subject\n\nbody\nof two lines", "forged\n\nBy: smfs undo", "Smfs-Writer: me", strings.Repeat("long ", 20_000)} {
		m := byCommand("commit", text)
		if object.CleanMessage(m) != m {
			t.Errorf("%.60q does not stay as it is", m)
		}
		got, command := splitMessage(m)
		if command != "commit" || !strings.HasPrefix(object.CleanMessage(text), got) {
			t.Errorf("%.60q is by %q: %.60q", m, command, got)
		}
	}
	if _, command := splitMessage("edit a\n\nBy: smfs undo\nor so"); command != "" {
		t.Errorf("by %q", command)
	}
	if got := bodyOf(byCommand("commit", "subject\n\nbody\nof two lines")); got != "body\nof two lines" {
		t.Errorf("the body is %q", got)
	}
}
