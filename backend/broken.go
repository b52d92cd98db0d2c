package backend

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/config"
)

// broken is a resource that could not be opened. The others go on. Its files
// stay where they are, a mount shows and journals them, and nothing of it is
// committed, applied or told to peers until it is mended.
type broken struct {
	*resource // its tree at most is open
	err       error
}

// openBroken opens what can be had of a resource that failed to open.
func (e *Engine) openBroken(conf config.Resource, cause error) broken {
	r := e.newResource(conf)
	if err := r.openDirectory(e.o.Base, false); err != nil {
		e.log.Warn("the directory cannot be had either", "resource", conf.Name, "error", err)
	}
	e.log.Error("resource cannot be used; the others go on", "resource", conf.Name, "error", cause)
	return broken{r, cause}
}

// damaged tells damage of the store from other failures, and what to do about it.
func (r *resource) damaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	for _, is := range []error{store.ErrDamaged, store.ErrCorrupt, store.ErrMissing, store.ErrBadRef, object.ErrInvalid, object.ErrForeign} {
		if errors.Is(err, is) {
			return WithHint(fmt.Errorf("%w: %w", ErrDamaged, err), r.wayOut())
		}
	}
	return err
}

// wayOut says what to do about a store with which nothing can be committed.
func (r *resource) wayOut() string {
	store, index := filepath.Join(r.state, "store", r.name+".git"), filepath.Join(r.state, "index", r.name)
	return fmt.Sprintf("the files are whole at their paths, but none of %s is committed until its store is mended; "+
		"`smfs fsck` lists what is damaged, after umount `smfs fsck --repair` mends what can be; so does a copy of the store; or begin a new history: "+
		"umount, move %s and %s away, mount", r.name, store, index)
}

// unusable is the error of a resource that failed to open, nil where there is
// none of that name.
func (e *Engine) unusable(name string) error {
	for _, b := range e.broken {
		if b.name == name {
			return b.err
		}
	}
	return nil
}

// uncommitted fails if a resource that cannot be used may have changed.
func (e *Engine) uncommitted() error {
	for _, b := range e.broken {
		if !b.journaled || b.journal.Pending(b.name) > 0 {
			return b.err
		}
	}
	return nil
}

// status describes what is known of it.
func (b broken) status() ResourceStatus {
	return ResourceStatus{Name: b.name, Pending: b.journal.Pending(b.name), Problem: errorText(b.err)}
}
