package backend

import (
	"sort"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
)

// status describes the resource as it is now.
func (r *resource) status() ResourceStatus {
	head, _ := r.headNow()
	s := ResourceStatus{
		Name: r.name, ID: r.store.Meta().ResourceIDs[0],
		Pending: r.journal.Pending(r.name), StoreBytes: r.store.Size(), Local: r.local.list(),
	}
	if !head.IsZero() {
		s.Head = head.String()
	}
	err := r.index.View(func(tx *index.Tx) error {
		s.Files, s.Conflicts = tx.Count(), tx.ConflictCount()
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, reason := range r.waiting {
		s.Waiting = append(s.Waiting, Waiting{r.mirrorPath(path), reason})
	}
	sort.Slice(s.Waiting, func(i, j int) bool { return s.Waiting[i].Path < s.Waiting[j].Path })
	var problems []string
	if err != nil {
		problems = append(problems, errorText(err))
	}
	for _, text := range []string{r.question, r.unwatched} {
		if text != "" {
			problems = append(problems, text)
		}
	}
	problems = append(problems, r.problems.list()...)
	if len(problems) > 3 {
		problems = append(problems[:3], "and more; see the log")
	}
	s.Problem = strings.Join(problems, "; ")
	return s
}

func (p *pathSet) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]string, 0, len(p.set))
	for path := range p.set {
		out = append(out, path)
	}
	sort.Strings(out)
	return out
}

// note sets one of the texts that status shows, and logs it if it is new.
func (r *resource) note(at *string, text, what string) {
	r.mu.Lock()
	again := *at == text
	*at = text
	r.mu.Unlock()
	if !again && text != "" {
		r.log.Warn(what, "resource", r.name, "note", text)
	}
}

// notes tells whether that text is set.
func (r *resource) notes(at *string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *at != ""
}
