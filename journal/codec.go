package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// Sizes of a record on disk: the frame (length and checksum), the fields of
// fixed size after it, and the longest whole.
const (
	frameSize = 4 + 4
	fixedSize = 8 + 1 + 8 + 8 + 8 + 4 + 4 + 8 + 1 + 1 + 2 + 2
	maxBody   = fixedSize + maxResource + maxCommand + 2*maxPath
)

// castagnoli is CRC-32C's table, which the processor computes by itself.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNoRecord says that the bytes at hand do not begin with a whole record.
var errNoRecord = errors.New("no record here")

// appendRecord appends r's bytes to b. The strings of r must be within their
// limits (see Record.check). The time loses what is finer or further away than
// nanoseconds in an int64.
func appendRecord(b []byte, r *Record) []byte {
	start := len(b)
	le := binary.LittleEndian
	body := fixedSize + len(r.Resource) + len(r.Actor.Command) + len(r.Path) + len(r.To)
	b = le.AppendUint32(b, uint32(body))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, r.Seq)
	b = append(b, byte(r.Kind))
	b = le.AppendUint64(b, uint64(r.Time.UnixNano()))
	b = le.AppendUint64(b, r.Key.Ino)
	b = le.AppendUint64(b, r.Key.Gen)
	b = le.AppendUint32(b, r.Actor.UID)
	b = le.AppendUint32(b, r.Actor.PID)
	b = le.AppendUint64(b, r.aux)
	b = append(b, byte(len(r.Resource)), byte(len(r.Actor.Command)))
	b = le.AppendUint16(b, uint16(len(r.Path)))
	b = le.AppendUint16(b, uint16(len(r.To)))
	b = append(b, r.Resource...)
	b = append(b, r.Actor.Command...)
	b = append(b, r.Path...)
	b = append(b, r.To...)
	le.PutUint32(b[start+4:], checksum(b[start:]))
	return b
}

// checksum covers a record's length and body, so that neither a changed
// length nor a run of zeros passes.
func checksum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:4], castagnoli), castagnoli, record[frameSize:])
}

// decodeRecord reads the record that b begins with and returns how many bytes
// it has. It is strict: what it accepts, appendRecord gives back byte by byte.
// Every other beginning is errNoRecord. The record shares no memory with b.
func decodeRecord(b []byte) (Record, int, error) {
	size := recordSize(b)
	if size == 0 || binary.LittleEndian.Uint32(b[4:]) != checksum(b[:size]) {
		return Record{}, 0, errNoRecord
	}
	le := binary.LittleEndian
	f := b[frameSize:]
	r := Record{
		Seq:   le.Uint64(f),
		Kind:  Kind(f[8]),
		Time:  time.Unix(0, int64(le.Uint64(f[9:]))),
		Key:   FileKey{Ino: le.Uint64(f[17:]), Gen: le.Uint64(f[25:])},
		Actor: Actor{UID: le.Uint32(f[33:]), PID: le.Uint32(f[37:])},
		aux:   le.Uint64(f[41:]),
	}
	rest := f[fixedSize : size-frameSize]
	next := func(n int) string {
		s := string(rest[:n])
		rest = rest[n:]
		return s
	}
	r.Resource = next(int(f[49]))
	r.Actor.Command = next(int(f[50]))
	r.Path = next(int(le.Uint16(f[51:])))
	r.To = next(int(le.Uint16(f[53:])))
	return r, size, nil
}

// recordSize returns the size of the record that b seems to begin with, or 0
// where its lengths contradict each other, it does not fit into b, or its kind
// is unknown. It is cheap enough to be asked at every byte.
func recordSize(b []byte) int {
	if len(b) < frameSize+fixedSize {
		return 0
	}
	le := binary.LittleEndian
	body := le.Uint32(b)
	if body < fixedSize || body > maxBody || int(body) > len(b)-frameSize {
		return 0
	}
	f := b[frameSize:]
	if k := Kind(f[8]); k == 0 || k >= kindEnd {
		return 0
	}
	if int(body) != fixedSize+int(f[49])+int(f[50])+int(le.Uint16(f[51:]))+int(le.Uint16(f[53:])) {
		return 0
	}
	return frameSize + int(body)
}
