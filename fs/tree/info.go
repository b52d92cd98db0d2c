package tree

import (
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// Info is what is known of an inode at one moment.
type Info struct {
	Key   journal.FileKey
	Mode  uint32 // S_IFMT bits and permissions, as in stat(2)
	Size  int64
	Mtime int64 // ns since 1970
	Ctime int64 // ns since 1970
	Nlink uint32
	UID   uint32
	GID   uint32
	Dev   uint64 // of the filesystem; changes from boot to boot
}

func (i Info) IsDir() bool     { return i.Mode&unix.S_IFMT == unix.S_IFDIR }
func (i Info) IsRegular() bool { return i.Mode&unix.S_IFMT == unix.S_IFREG }
func (i Info) IsSymlink() bool { return i.Mode&unix.S_IFMT == unix.S_IFLNK }

// Perm is Mode without the type bits.
func (i Info) Perm() uint32 { return i.Mode &^ unix.S_IFMT }

// StatxMask is what a statx must ask for so that InfoFromStatx is complete.
const StatxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME | unix.STATX_MNT_ID

// InfoFromStatx converts the answer to a statx with StatxMask. The key's Gen
// is the birth time in ns, 0 where the filesystem has none.
func InfoFromStatx(st *unix.Statx_t) Info {
	i := Info{
		Key:   journal.FileKey{Ino: st.Ino},
		Mode:  uint32(st.Mode),
		Size:  int64(st.Size),
		Mtime: nanoseconds(st.Mtime),
		Ctime: nanoseconds(st.Ctime),
		Nlink: st.Nlink,
		UID:   st.Uid,
		GID:   st.Gid,
		Dev:   unix.Mkdev(st.Dev_major, st.Dev_minor),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		i.Key.Gen = uint64(nanoseconds(st.Btime))
	}
	return i
}

func nanoseconds(ts unix.StatxTimestamp) int64 { return ts.Sec*1e9 + int64(ts.Nsec) }

// StatFD is the Info of an open fd, O_PATH included.
func StatFD(fd int) (Info, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, StatxMask, &st); err != nil {
		return Info{}, err
	}
	return InfoFromStatx(&st), nil
}

// statAt looks at one name in a directory without following a symlink, and
// says EXDEV where another mount begins.
func (t *Tree) statAt(dirfd int, name string) (Info, error) {
	var st unix.Statx_t
	if err := unix.Statx(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, StatxMask, &st); err != nil {
		return Info{}, err
	}
	if mountFrom(&st) != t.mount {
		return Info{}, unix.EXDEV
	}
	return InfoFromStatx(&st), nil
}

// Expect is what a slot must hold for a change to go ahead. The zero value
// matches nothing.
type Expect struct {
	info   Info
	absent bool
}

// Absent expects an empty slot.
func Absent() Expect { return Expect{absent: true} }

// Exactly expects the inode of i, unchanged: equal key and mode and, but for
// directories (whose times and size change with their entries), equal size,
// mtime and ctime.
func Exactly(i Info) Expect { return Expect{info: i} }

func (e Expect) matches(i Info) bool {
	return !e.absent && e.sameContent(i) && (i.IsDir() || e.info.Ctime == i.Ctime)
}

// sameContent is matches for an inode that has been renamed or linked since,
// which moves its ctime.
func (e Expect) sameContent(i Info) bool {
	if e.info.Key != i.Key || e.info.Mode != i.Mode {
		return false
	}
	return i.IsDir() || e.info.Size == i.Size && e.info.Mtime == i.Mtime
}
