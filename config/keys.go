package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	patternKey = "conflict." // and a pattern

	maxTimeout = 24 * time.Hour
	maxSettle  = time.Hour
)

// key is one key of a section.
type key struct {
	name     string
	expected string
	set      func(*draft, entry) error
}

// draft is what the keys of a section are read into.
type draft struct {
	directory string // as written; empty if it is not
	Options
}

func keys() []key {
	return []key{
		{"directory", "a directory", setDirectory},
		{"ignore", "gitignore patterns, such as *.tmp or .cache/", setIgnore},
		{"hosts", "names of peers, HOST, USER@HOST:PATH or ssh://HOST/PATH", setHosts},
		{"conflict", handlerExpected, handlerSetter(func(o *Options) *Handler { return &o.Conflict })},
		{"conflict.push", handlerExpected, handlerSetter(func(o *Options) *Handler { return &o.ConflictPush })},
		{"conflict.pull", handlerExpected, handlerSetter(func(o *Options) *Handler { return &o.ConflictPull })},
		{"timeout", "seconds, or a duration such as 1m30s, over 0 and up to 24h", setTimeout},
		{"settle", "a duration such as 50ms, up to 1h", setSettle},
		{"vcs", "mirror or ignore", setVCS},
	}
}

// lookUp finds the key of that name in the main section or in a resource's.
func lookUp(name string, main bool) (key, bool) {
	if main && name == "basedir" {
		name = "directory"
	}
	list := keys()
	if i := slices.IndexFunc(list, func(k key) bool { return k.name == name }); i >= 0 {
		return list[i], true
	}
	if pattern, ok := strings.CutPrefix(name, patternKey); ok {
		return key{name, handlerExpected, patternSetter(pattern)}, true
	}
	return key{}, false
}

func knownKey(name string) bool {
	_, ok := lookUp(name, true)
	return ok
}

// keyNames lists the keys for people.
func keyNames() string {
	var names []string
	for _, k := range keys() {
		names = append(names, k.name)
	}
	return "one of " + strings.Join(names, ", ") + ", " + patternKey + "PATTERN"
}

// one reads a value that is one text on one line.
func (e entry) one() (string, error) {
	if len(e.value) > 1 {
		return "", errors.New("the value goes over several lines")
	}
	s, err := whole(e.value[0].s)
	if err == nil && s == "" {
		err = errors.New("there is no value")
	}
	return s, err
}

// list reads words over all lines of the value.
func (e entry) list() ([]string, error) {
	var out []string
	for _, line := range e.value {
		w, err := words(line.s)
		if err != nil {
			return nil, err
		}
		out = append(out, w...)
	}
	return out, nil
}

// patterns reads words, or, if the list begins below its key, a pattern a line.
func (e entry) patterns() ([]string, error) {
	if cutComment(e.value[0].s) != "" {
		return e.list()
	}
	var out []string
	for _, line := range e.value[1:] {
		s, err := whole(line.s)
		if errors.Is(err, errOneValue) {
			return e.list()
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func setDirectory(d *draft, e entry) (err error) {
	d.directory, err = e.one()
	return err
}

func setIgnore(d *draft, e entry) error {
	patterns, err := e.patterns()
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if _, err := newRule(p); err != nil {
			return err
		}
	}
	d.Ignore = append(d.Ignore, patterns...)
	return nil
}

func setHosts(d *draft, e entry) error {
	hosts, err := e.list()
	if err != nil {
		return err
	}
	for i, h := range hosts {
		if err := CheckHost(h); err != nil {
			return err
		}
		if slices.Contains(hosts[:i], h) {
			return errors.New("the host " + strconv.Quote(h) + " is named twice")
		}
	}
	d.Hosts = hosts
	return nil
}

func handlerSetter(field func(*Options) *Handler) func(*draft, entry) error {
	return func(d *draft, e entry) error {
		h, err := e.handler()
		if err == nil {
			*field(&d.Options) = h
		}
		return err
	}
}

func patternSetter(pattern string) func(*draft, entry) error {
	return func(d *draft, e entry) error {
		r, err := newRule(pattern)
		switch {
		case err != nil:
			return err
		case r.negated || r.dirOnly:
			return errors.New("a pattern of files neither begins with ! nor ends with /")
		}
		h, err := e.handler()
		if err == nil {
			d.ConflictPatterns = append(d.ConflictPatterns, PatternHandler{Pattern: pattern, Handler: h})
		}
		return err
	}
}

func (e entry) handler() (Handler, error) {
	s, err := e.one()
	if err != nil {
		return "", err
	}
	return ParseHandler(s)
}

func setTimeout(d *draft, e entry) error {
	s, err := e.one()
	if err != nil {
		return err
	}
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		s = strconv.FormatUint(seconds, 10) + "s"
	}
	d.Timeout, err = duration(s, 1, maxTimeout)
	return err
}

func setSettle(d *draft, e entry) error {
	s, err := e.one()
	if err != nil {
		return err
	}
	d.Settle, err = duration(s, 0, maxSettle)
	return err
}

func duration(s string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New(strconv.Quote(s) + " is no duration")
	}
	if d < low || d > high {
		return 0, errors.New(strconv.Quote(s) + " is out of range")
	}
	return d, nil
}

func setVCS(d *draft, e entry) error {
	s, err := e.one()
	if err != nil {
		return err
	}
	if s != "mirror" && s != "ignore" {
		return errors.New("unknown value " + strconv.Quote(s))
	}
	d.VCS = s == "mirror"
	return nil
}
