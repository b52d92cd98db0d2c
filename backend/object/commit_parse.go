package object

import (
	"strconv"
	"strings"
)

// parseCommit reads any commit that git would accept. Only its tree, parents,
// author, signature and whole message are kept.
func parseCommit(s string) (*Commit, error) {
	c := &Commit{}
	head, message, ok := strings.Cut(s, "\n\n")
	if !ok {
		if head, ok = strings.CutSuffix(s, "\n"); !ok {
			return nil, invalid("commit has no end of its header")
		}
	}
	c.Message = message
	lines := strings.Split(head, "\n")
	rest, err := c.parseLinks(lines)
	if err != nil {
		return nil, err
	}
	if len(rest) < 2 {
		return nil, invalid("commit has no author or committer")
	}
	author, ok := strings.CutPrefix(rest[0], "author ")
	if !ok || !c.parseAuthor(author) || !strings.HasPrefix(rest[1], "committer ") {
		return nil, invalid("commit author or committer is malformed")
	}
	c.parseExtra(rest[2:])
	return c, nil
}

// parseLinks reads the tree and the parents and returns the lines after them.
func (c *Commit) parseLinks(lines []string) (rest []string, err error) {
	tree, ok := strings.CutPrefix(lines[0], "tree ")
	if !ok {
		return nil, invalid("commit starts with %.20q", lines[0])
	}
	if c.Tree, err = ParseTreeID(tree); err != nil {
		return nil, err
	}
	for i, line := range lines[1:] {
		parent, ok := strings.CutPrefix(line, "parent ")
		if !ok {
			return lines[1+i:], nil
		}
		id, err := ParseCommitID(parent)
		if err != nil {
			return nil, err
		}
		if len(c.Parents) == MaxParents {
			return nil, invalid("commit has more than %d parents", MaxParents)
		}
		c.Parents = append(c.Parents, id)
	}
	return nil, nil
}

// parseAuthor reads "name <email> seconds zone".
func (c *Commit) parseAuthor(s string) bool {
	open := strings.IndexByte(s, '<')
	end := strings.LastIndexByte(s, '>')
	if open < 0 || end < open {
		return false
	}
	c.Author = strings.TrimSuffix(s[:open], " ")
	c.Email = s[open+1 : end]
	seconds, _, _ := strings.Cut(strings.TrimPrefix(s[end+1:], " "), " ")
	var err error
	c.Time, err = strconv.ParseInt(seconds, 10, 64)
	return err == nil
}

// parseExtra reads the headers after the committer; all but the signature are
// skipped, as git does with those it does not know.
func (c *Commit) parseExtra(lines []string) {
	var sig []string
	in := false
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, " "); ok {
			if in {
				sig = append(sig, rest)
			}
			continue
		}
		var first string
		if first, in = strings.CutPrefix(line, "gpgsig "); in {
			sig = []string{first}
		}
	}
	if sig != nil {
		c.Signature = strings.Join(sig, "\n") + "\n"
	}
}
