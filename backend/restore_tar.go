package backend

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// archiver writes an old version as a tar archive: of a directory, "." and all that
// was in it; of anything else, one entry of its name.
type archiver struct {
	r     *resource
	ctx   context.Context
	w     *tar.Writer
	names map[object.FileID]string // of files, for those with several
	files int
}

// archive writes an entry to w and returns how many files that are.
func (r *resource) archive(ctx context.Context, e *object.Entry, w io.Writer) (files int, err error) {
	a := &archiver{r: r, ctx: ctx, w: tar.NewWriter(w), names: map[object.FileID]string{}}
	name := e.Name
	if e.Kind == object.Dir {
		name = "."
	}
	if err := a.add(name, e); err != nil {
		return a.files, err
	}
	return a.files, a.w.Close()
}

func (a *archiver) add(name string, e *object.Entry) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(e.Mode), ModTime: time.Unix(0, e.Mtime), Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for _, x := range e.Xattrs {
		h.PAXRecords["SCHILY.xattr."+x.Name] = x.Value
	}
	switch first, again := a.names[e.ID]; {
	case e.Kind == object.Dir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case again:
		a.files++
		h.Typeflag, h.Linkname = tar.TypeLink, first
	default:
		a.files++
		a.names[e.ID] = name
		return a.content(h, e)
	}
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("write old version of %s: %w", name, err)
	}
	if e.Kind != object.Dir {
		return nil
	}
	d := differ{src: a.r.store}
	list, err := d.entries(e.Tree)
	if err != nil {
		return err
	}
	for i := range list {
		if err := a.add(join(trimDot(name), list[i].Name), &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// trimDot is the path of the archive's root, to join names to.
func trimDot(name string) string {
	if name == "." {
		return ""
	}
	return name
}

// content writes a file or a link.
func (a *archiver) content(h *tar.Header, e *object.Entry) error {
	in, size, err := a.r.store.OpenFile(chunk.Of(e))
	if err != nil {
		return err
	}
	defer in.Close()
	if e.Kind == object.Symlink {
		target, err := io.ReadAll(io.LimitReader(in, maxSymlink+1))
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, string(target), 0o777
		return a.w.WriteHeader(h)
	}
	h.Typeflag, h.Size = tar.TypeReg, size
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("write old version of %s: %w", h.Name, err)
	}
	if _, err := io.Copy(a.w, in); err != nil {
		return fmt.Errorf("write old version of %s: %w", h.Name, err)
	}
	return nil
}
