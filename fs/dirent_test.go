package fs

import (
	"bytes"
	"encoding/binary"
)

// dirent is an entry as getdents64(2) gives it.
type dirent struct {
	ino  uint64
	size int
	name string
}

func parseDirent(b []byte) dirent {
	size := int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ := bytes.Cut(b[19:size], []byte{0})
	return dirent{ino: binary.NativeEndian.Uint64(b), size: size, name: string(name)}
}
