package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// problems is what could not be done and is tried again, by path, "" for the
// resource itself. A problem lasts until a look at all there is has not met it
// again, so status does not forget it while it is tried. The zero value is
// ready; all methods may be called concurrently.
type problems struct {
	mu    sync.Mutex
	set   map[string]problem
	look  int       // its number
	began time.Time // zero: the look has ended
}

type problem struct {
	text string
	look int // the last that met it
}

// add notes a problem and tells whether it is new.
func (p *problems) add(path, text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		p.set = map[string]problem{}
	}
	old := p.set[path]
	p.set[path] = problem{text, p.look}
	return old.text != text
}

// lookBegins begins a look at everything.
func (p *problems) lookBegins(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look++
	p.began = now
}

// looked forgets what the look did not meet, once it has tried everything: when
// nothing is left that settles, or what settled as it began is past its time.
func (p *problems) looked(now time.Time, settling bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() || settling && now.Sub(p.began) <= burstTime {
		return
	}
	p.began = time.Time{}
	maps.DeleteFunc(p.set, func(_ string, q problem) bool { return q.look < p.look })
}

// list returns the texts, sorted.
func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, q := range p.set {
		out = append(out, q.text)
	}
	slices.Sort(out)
	return out
}

// about is what is known of a path or of a directory above it, "" for nothing.
func (p *problems) about(path string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; path != ""; path, _ = splitPath(path) {
		if q, ok := p.set[path]; ok {
			return strings.TrimPrefix(q.text, path+": ")
		}
	}
	return ""
}

// report notes a problem with a path, for status; logged once while it lasts.
func (r *resource) report(path string, err error) {
	text := fmt.Sprintf("%s: %v", path, err)
	if path == "" {
		text = errorText(err)
	}
	if r.problems.add(path, text) {
		r.log.Warn("problem", "resource", r.name, "path", path, "error", err)
	}
}
