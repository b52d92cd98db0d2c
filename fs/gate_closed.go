package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// What the announcer never does: no request of it, nor of anybody about a ghost,
// reaches the nodes by these. Of the rest, looking at names and attributes is
// passed on (Access, Statx, StatFs, GetXAttr), for the kernel asks for those by itself.

func (g *gate) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	g.meets(&in.InHeader, in.NodeId, name)
	return g.RawFileSystem.Mknod(cancel, in, name, out)
}

func (g *gate) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	if isGhost(in.Newdir) {
		return fuse.EPERM
	}
	g.meets(&in.InHeader, in.NodeId, from)
	g.meets(&in.InHeader, in.Newdir, to)
	return g.RawFileSystem.Rename(cancel, in, from, to)
}

func (g *gate) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	if isGhost(in.Oldnodeid) {
		return fuse.EPERM
	}
	g.meets(&in.InHeader, in.NodeId, name)
	return g.RawFileSystem.Link(cancel, in, name, out)
}

func (g *gate) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Tmpfile(cancel, in, out)
}

func (g *gate) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	if status, stop := g.stops(h); stop {
		return nil, status
	}
	return g.RawFileSystem.Readlink(cancel, h)
}

func (g *gate) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.SetXAttr(cancel, in, name, data)
}

func (g *gate) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if status, stop := g.stops(h); stop {
		return status
	}
	return g.RawFileSystem.RemoveXAttr(cancel, h, name)
}

func (g *gate) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	if status, stop := g.stops(h); stop {
		return 0, status
	}
	return g.RawFileSystem.ListXAttr(cancel, h, dest)
}

func (g *gate) Read(cancel <-chan struct{}, in *fuse.ReadIn, dest []byte) (fuse.ReadResult, fuse.Status) {
	if status, stop := g.stops(&in.InHeader); stop {
		return nil, status
	}
	return g.RawFileSystem.Read(cancel, in, dest)
}

func (g *gate) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if status, stop := g.stops(&in.InHeader); stop {
		return 0, status
	}
	return g.RawFileSystem.Write(cancel, in, data)
}

func (g *gate) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if status, stop := g.stops(&in.InHeader); stop {
		return 0, status
	}
	return g.RawFileSystem.Writev(cancel, in, data)
}

func (g *gate) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	if status, stop := g.stops(&in.InHeader); stop {
		return 0, status
	}
	if isGhost(in.NodeIdOut) {
		return 0, fuse.EPERM
	}
	return g.RawFileSystem.CopyFileRange(cancel, in)
}

func (g *gate) Ioctl(cancel <-chan struct{}, in *fuse.IoctlIn, data []byte, out *fuse.IoctlOut, answer []byte) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Ioctl(cancel, in, data, out, answer)
}

func (g *gate) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Lseek(cancel, in, out)
}

func (g *gate) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Fallocate(cancel, in)
}

func (g *gate) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	if isGhost(in.NodeId) {
		return fuse.OK
	}
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Flush(cancel, in)
}

func (g *gate) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.Fsync(cancel, in)
}

func (g *gate) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.FsyncDir(cancel, in)
}

func (g *gate) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.OpenDir(cancel, in, out)
}

func (g *gate) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.ReadDir(cancel, in, out)
}

func (g *gate) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	g.meets(&in.InHeader, in.NodeId, "")
	return g.RawFileSystem.ReadDirPlus(cancel, in, out)
}

func (g *gate) GetLk(cancel <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.GetLk(cancel, in, out)
}

func (g *gate) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.SetLk(cancel, in)
}

func (g *gate) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	if status, stop := g.stops(&in.InHeader); stop {
		return status
	}
	return g.RawFileSystem.SetLkw(cancel, in)
}

// A ghost has no attributes to ask for beyond the plain ones.

func (g *gate) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	if isGhost(in.NodeId) {
		return fuse.OK
	}
	return g.RawFileSystem.Access(cancel, in)
}

func (g *gate) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if isGhost(h.NodeId) {
		return 0, fuse.ENOATTR
	}
	return g.RawFileSystem.GetXAttr(cancel, h, name, dest)
}

func (g *gate) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	if isGhost(in.NodeId) {
		return fuse.Status(unix.ESTALE)
	}
	return g.RawFileSystem.Statx(cancel, in, out)
}

func (g *gate) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	if isGhost(h.NodeId) {
		return fuse.Status(unix.ESTALE)
	}
	return g.RawFileSystem.StatFs(cancel, h, out)
}
