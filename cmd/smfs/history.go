package main

import (
	"context"
	"errors"
	"os"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs"
	"golang.org/x/sys/unix"
)

// historyView shows the engine's history in the mount.
type historyView struct {
	engine *backend.Engine
	chunks *chunk.Cache // of all files that are open
}

func (v historyView) Times(ctx context.Context) ([]string, error) {
	days, err := v.engine.PastDays(ctx)
	if err != nil || len(days) == 0 {
		return nil, err
	}
	return append([]string{backend.Latest}, days...), nil
}

func (v historyView) At(ctx context.Context, name string) (fs.Past, error) {
	p, err := v.engine.PastAt(ctx, name)
	if errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrInvalid) {
		return nil, os.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return past{p, v.chunks}, nil
}

// past is a file, directory or symlink of the history.
type past struct {
	p      *backend.Past
	chunks *chunk.Cache
}

func (p past) Info() fs.PastInfo {
	i := fs.PastInfo{ID: p.p.ID, Mode: typeOf(p.p.Kind) | p.p.Mode, Size: p.p.Size, Mtime: p.p.Mtime}
	for _, x := range p.p.Xattrs {
		i.Xattrs = append(i.Xattrs, fs.PastXattr(x))
	}
	return i
}

func (p past) Lookup(name string) (fs.Past, error) {
	c, err := p.p.Lookup(name)
	if err != nil {
		return nil, err
	}
	return past{c, p.chunks}, nil
}

func (p past) List() ([]fs.PastName, error) {
	list, err := p.p.List()
	if err != nil {
		return nil, err
	}
	names := make([]fs.PastName, len(list))
	for i, n := range list {
		names[i] = fs.PastName{Name: n.Name, Mode: typeOf(n.Kind), ID: n.ID}
	}
	return names, nil
}

func (p past) Readlink() ([]byte, error) { return p.p.Target() }

func (p past) Open() (fs.PastFile, error) { return p.p.Open(p.chunks) }

func typeOf(k object.Kind) uint32 {
	switch k {
	case object.Dir:
		return unix.S_IFDIR
	case object.Symlink:
		return unix.S_IFLNK
	}
	return unix.S_IFREG
}
