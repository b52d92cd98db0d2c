package tags

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrQuery is wrapped by what [ParseQuery] returns.
var ErrQuery = errors.New("cannot read query")

// maxQuery bounds a query in bytes, and so the depth of its tree.
const maxQuery = 4096

// Query is a parsed expression over tags. Queries come from [ParseQuery]; the
// zero value matches no file.
type Query struct {
	text string
	root expr
}

// String returns the query in its own language; ParseQuery reads it back.
func (q Query) String() string { return q.text }

// Match reports whether a file with these tags is meant by the query.
func (q Query) Match(tags []string) bool {
	return q.root != nil && q.root.match(tags)
}

// Wanted lists the tags that a file must have to be meant: those that no "!"
// stands before.
func (q Query) Wanted() []string {
	if q.root == nil {
		return nil
	}
	return q.root.wanted()
}

// expr is a node of a query's tree. A new operator is a new expr: one way to
// judge a single file, and one to judge all files at once.
type expr interface {
	match(tags []string) bool
	eval(x *Index) matches
	wanted() []string
	String() string
}

// tagExpr is a tag, which stands for those below it too.
type tagExpr string

func (t tagExpr) match(tags []string) bool {
	return slices.ContainsFunc(tags, func(tag string) bool { return covers(string(t), tag) })
}

func (t tagExpr) eval(x *Index) matches { return matches{files: x.posting(string(t))} }
func (t tagExpr) wanted() []string      { return []string{string(t)} }
func (t tagExpr) String() string        { return string(t) }

// notExpr is "!term".
type notExpr struct{ of expr }

func (n notExpr) match(tags []string) bool { return !n.of.match(tags) }
func (n notExpr) eval(x *Index) matches    { return n.of.eval(x).complement() }
func (n notExpr) wanted() []string         { return nil }
func (n notExpr) String() string           { return "!" + n.of.String() }

// andExpr is "term,term,...".
type andExpr []expr

func (a andExpr) match(tags []string) bool {
	return !slices.ContainsFunc(a, func(e expr) bool { return !e.match(tags) })
}

func (a andExpr) eval(x *Index) matches {
	terms := make([]matches, len(a))
	for i, e := range a {
		terms[i] = e.eval(x)
	}
	return intersectAll(terms)
}

func (a andExpr) wanted() (all []string) {
	for _, e := range a {
		all = append(all, e.wanted()...)
	}
	return all
}

func (a andExpr) String() string {
	parts := make([]string, len(a))
	for i, e := range a {
		parts[i] = e.String()
	}
	return strings.Join(parts, ",")
}

// covers reports whether tag is name or lies below it.
func covers(name, tag string) bool {
	rest, ok := strings.CutPrefix(tag, name)
	return ok && (rest == "" || rest[0] == '/')
}

// ParseQuery reads a query:
//
//	query = term { "," term }      all terms hold
//	term  = [ "!" ] tag            the tag, or one below it, is there; or is not
//
// Spaces around a term do not count. The error names the term that is wrong.
func ParseQuery(s string) (Query, error) {
	if len(s) > maxQuery {
		return Query{}, fmt.Errorf("%w: longer than %d bytes", ErrQuery, maxQuery)
	}
	p := parser{rest: s}
	root, err := p.and()
	if err != nil {
		return Query{}, fmt.Errorf("%w %q: %w", ErrQuery, s, err)
	}
	return Query{text: root.String(), root: root}, nil
}

// parser reads by recursive descent, one method a rule of the grammar.
type parser struct{ rest string }

func (p *parser) and() (expr, error) {
	var all andExpr
	for {
		e, err := p.term()
		if err != nil {
			return nil, fmt.Errorf("term %d: %w", len(all)+1, err)
		}
		all = append(all, e)
		if !p.take(",") {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (p *parser) term() (expr, error) {
	if p.take("!") {
		e, err := p.tag()
		if err != nil {
			return nil, err
		}
		return notExpr{of: e}, nil
	}
	return p.tag()
}

func (p *parser) tag() (expr, error) {
	end := strings.IndexByte(p.rest, ',')
	if end < 0 {
		end = len(p.rest)
	}
	name := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return tagExpr(name), nil
}

// take consumes token, and spaces before it, if it comes next.
func (p *parser) take(token string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(p.rest), token)
	if ok {
		p.rest = rest
	}
	return ok
}
