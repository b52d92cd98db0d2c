package backend

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// outside lists what in the base directory belongs to no resource and so stays
// on this machine; a directory stands for all in it.
func (e *Engine) outside() ([]string, error) {
	if conf, _ := e.o.Config.At(""); conf != nil {
		return nil, nil // which has all
	}
	out, err := e.outsideIn(e.o.Base, ".", "")
	if err != nil {
		return nil, fmt.Errorf("look for files outside of the resources: %w", err)
	}
	sort.Strings(out)
	return out, nil
}

// outsideIn looks into a directory that holds resources and is none: name in
// the directory at, path in the mirror.
func (e *Engine) outsideIn(at int, name, path string) ([]string, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		in := join(path, name)
		if conf, _ := e.o.Config.At(in); conf != nil || reserved(in) {
			continue
		}
		if !e.holdsResource(in) {
			out = append(out, in)
			continue
		}
		below, err := e.outsideIn(fd, name, in)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

func (e *Engine) holdsResource(path string) bool {
	for i := range e.o.Config.Resources {
		if strings.HasPrefix(e.o.Config.Resources[i].Path, path+"/") {
			return true
		}
	}
	return false
}
