package config

import (
	"fmt"
	"strings"
)

// Handler says how a conflict is settled: one of the constants below, or
// "exec:" and a command.
type Handler string

// The handlers that smfs brings.
const (
	KeepBoth      Handler = "KeepBoth"
	Newest        Handler = "Newest"
	Merge         Handler = "Merge"
	ClobberLocal  Handler = "ClobberLocal"
	ClobberRemote Handler = "ClobberRemote"
	Edit          Handler = "Edit"
)

const execPrefix = "exec:"

const handlerExpected = "KeepBoth, Newest, Merge, ClobberLocal, ClobberRemote, Edit or exec:COMMAND"

// HandlerHelp describes one handler for people.
type HandlerHelp struct {
	Handler Handler
	Help    string
}

// Handlers lists the handlers that smfs brings, the default first.
func Handlers() []HandlerHelp {
	return []HandlerHelp{
		{KeepBoth, "keep both versions, the other one under a name beside"},
		{Newest, "take the version that was changed last, keep the other in the history"},
		{Merge, "merge text line by line; keep both where that is not possible"},
		{ClobberLocal, "take the peer's version"},
		{ClobberRemote, "take this node's version"},
		{Edit, "open both versions in $EDITOR"},
	}
}

// ParseHandler reads a handler as the config file and the command line spell it.
func ParseHandler(s string) (Handler, error) {
	if command, ok := strings.CutPrefix(s, execPrefix); ok {
		if strings.TrimSpace(command) == "" {
			return "", fmt.Errorf("conflict handler %q names no command", s)
		}
		return Handler(s), nil
	}
	for _, h := range Handlers() {
		if s == string(h.Handler) {
			return h.Handler, nil
		}
	}
	return "", fmt.Errorf("unknown conflict handler %q", s)
}

// Command returns what an exec: handler runs, as one line for the shell.
func (h Handler) Command() (command string, ok bool) {
	command, ok = strings.CutPrefix(string(h), execPrefix)
	return strings.TrimSpace(command), ok
}

// Occasion is what brought a conflict up.
type Occasion int

const (
	OnSync Occasion = iota // the daemon, or the command sync
	OnPush                 // the command push
	OnPull                 // the command pull
)

// PatternHandler is a handler for the files that a pattern means.
type PatternHandler struct {
	Pattern string // as in Ignore, without "!" and without a slash at its end
	Handler Handler
}

// HandlerFor says how a conflict over the file at path, relative to the
// resource, is settled. A pattern is more particular than an occasion, and the
// last pattern that fits decides. A -d on the command line comes before all.
func (o Options) HandlerFor(path string, on Occasion) Handler {
	for i := len(o.ConflictPatterns) - 1; i >= 0; i-- {
		p := o.ConflictPatterns[i]
		if r, err := newRule(p.Pattern); err == nil && r.match(path) {
			return p.Handler
		}
	}
	switch {
	case on == OnPush && o.ConflictPush != "":
		return o.ConflictPush
	case on == OnPull && o.ConflictPull != "":
		return o.ConflictPull
	}
	return o.Conflict
}
