package store

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
)

// storeZlib writes data as a zlib stream of stored blocks: the copy costs less
// than any attempt to shrink it.
func storeZlib(w *bytes.Buffer, data []byte) {
	const block = 1<<16 - 1
	w.Grow(len(data) + 5*(len(data)/block+1) + 6)
	w.Write([]byte{0x78, 0x01})
	sum := adler32.Checksum(data)
	for {
		n := min(len(data), block)
		last := byte(0)
		if n == len(data) {
			last = 1
		}
		w.Write([]byte{last, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)})
		w.Write(data[:n])
		if data = data[n:]; last == 1 {
			break
		}
	}
	var trailer [4]byte
	binary.BigEndian.PutUint32(trailer[:], sum)
	w.Write(trailer[:])
}
