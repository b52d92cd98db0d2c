package backend

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

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
		s.Files, s.FilesBytes, s.Conflicts = tx.Count(), tx.Bytes(), tx.ConflictCount()
		return nil
	})
	s.StoreGrowth = r.growth.since(s.StoreBytes)
	s.Outgrown = s.StoreBytes >= outgrownFrom && s.StoreBytes >= outgrown*s.FilesBytes
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Waiting = r.waitingList()
	var problems []string
	if err != nil {
		problems = append(problems, errorText(err))
	}
	if err := r.journal.Failure(r.name); err != nil {
		problems = append(problems, errorText(refusedChange(err)))
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

// waitingList is what could not be applied yet, by path. r.mu is held.
func (r *resource) waitingList() (list []Waiting) {
	for path, reason := range r.waiting {
		list = append(list, Waiting{orHere(r.mirrorPath(path)), reason})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list
}

// refusedChange is why changes are refused, with what to do about it.
func refusedChange(err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EROFS):
		hint = "the filesystem is read-only, perhaps after an error that the kernel's log tells of: `smfs umount`, check it with fsck, mount it, `smfs mount`"
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EBADMSG):
		hint = "the disk fails or is gone, of which the kernel's log tells: `smfs umount`, check it with fsck, mount it, `smfs mount`"
	}
	return WithHint(fmt.Errorf("the last change was refused: %w", err), hint)
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
