package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
)

// abs makes an argument absolute, by its letters alone: no symbolic link is
// followed.
func (a *app) abs(arg string) (string, error) {
	if filepath.IsAbs(arg) {
		return filepath.Clean(arg), nil
	}
	wd, err := a.getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	return filepath.Join(wd, arg), nil
}

// absPath is abs for a PATH argument: where the working directory is outside of
// DIR of -C, it is relative to DIR.
func (a *app) absPath(arg string) (string, error) {
	path, err := a.abs(arg)
	if err != nil || a.dir == "" || filepath.IsAbs(arg) {
		return path, err
	}
	dir, err := a.abs(a.dir)
	if err != nil {
		return "", err
	}
	wd, err := a.abs(".")
	if err != nil {
		return "", err
	}
	if _, in := below(dir, wd); in {
		return path, nil
	}
	if _, in := belowSame(dir, wd); in {
		return path, nil
	}
	return filepath.Join(dir, arg), nil
}

// rel converts a PATH argument to a path relative to base. Links inside the
// mirror are not followed, so an argument cannot lead out of it; links on the
// way to the mirror are recognised.
func (a *app) rel(base, arg string) (string, error) {
	if arg == "" {
		return "", usagef("an empty PATH")
	}
	path, err := a.absPath(arg)
	if err != nil {
		return "", err
	}
	r, ok := below(base, path)
	if !ok {
		if r, ok = belowSame(base, path); !ok {
			return "", backend.WithHint(fmt.Errorf("%s: %w in the mirror %s", arg, backend.ErrNotFound, base),
				"it is outside; give a path in the mirror, or name another mirror with -C DIR")
		}
	}
	if r == node.StateDir || strings.HasPrefix(r, node.StateDir+"/") {
		return "", fmt.Errorf("%s: belongs to smfs itself: %w", arg, backend.ErrInvalid)
	}
	return r, nil
}

// rels converts several PATH arguments.
func (a *app) rels(base string, args []string) ([]string, error) {
	out := make([]string, 0, len(args))
	for _, arg := range args {
		r, err := a.rel(base, arg)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// below returns path relative to base, both clean and absolute, where it is
// base or in it.
func below(base, path string) (string, bool) {
	if path == base {
		return "", true
	}
	return strings.CutPrefix(path, strings.TrimSuffix(base, "/")+"/")
}

// belowSame finds base among the directories above path by identity, for when
// one of the two was reached through a link.
func belowSame(base, path string) (string, bool) {
	want, err := os.Stat(base)
	if err != nil {
		return "", false
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && os.SameFile(want, info) {
			return below(dir, path)
		}
		if dir == "/" {
			return "", false
		}
	}
}

// exists reports whether something, be it a dangling link, is at arg.
func (a *app) exists(arg string) bool {
	path, err := a.absPath(arg)
	if err != nil {
		return false
	}
	_, err = os.Lstat(path)
	return err == nil || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
}
