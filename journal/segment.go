package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// formatVersion is the version of the segments this package writes.
const formatVersion = 1

// ErrNewerFormat is returned by Open for a journal that a later version of
// smfs wrote. Nothing was changed.
var ErrNewerFormat = errors.New("journal was written by a newer version of smfs")

const (
	magic         = "smfsjrnl"
	headerSize    = len(magic) + 4 + 8 + 4
	segmentSuffix = ".journal"
)

// segment is one file of the journal.
type segment struct {
	name  string
	first uint64 // sequence number of its first record
	size  int64  // bytes up to the end of its last whole record
	file  file   // nil once it is synced and written no more
	kept  int64  // up to there is room that only what frees room may use
	torn  bool   // a failed append left bytes after size that could not be cut
}

// segmentName is the file name of the segment that begins with record first.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseSegmentName is the inverse of segmentName; ok is false for names of
// other files.
func parseSegmentName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0 && segmentName(first) == name
}

// appendHeader appends the header of a segment that begins with record first.
// Every version of the format keeps this layout, so that each can tell a newer
// one from damage.
func appendHeader(b []byte, first uint64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, first)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// decodeHeader reads the header of a segment; ok is false where it is not
// whole. The version may be any.
func decodeHeader(b []byte) (version uint32, first uint64, ok bool) {
	if len(b) < headerSize || !bytes.HasPrefix(b, []byte(magic)) {
		return 0, 0, false
	}
	sum := headerSize - 4
	if crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint64(b[12:]), true
}

// gap is a run of sequence numbers, both ends included, whose records are not
// readable.
type gap struct {
	from, to uint64
	where    string // the segment
}

// readRecords calls emit for each readable record of a segment's bytes, which
// should begin with number first. After damage it looks for the next whole
// record with a later number, and calls lost before it goes on there. It
// returns the number expected after the last record and where that ends.
func readRecords(name string, data []byte, first uint64, emit func(*Record), lost func(gap)) (next uint64, end int) {
	next, end = first, min(headerSize, len(data))
	for {
		at := findRecord(data, end, next)
		if at < 0 {
			return next, end
		}
		r, size, err := decodeRecord(data[at:])
		if err != nil { // findRecord has decoded it
			return next, end
		}
		if r.Seq > next {
			lost(gap{next, r.Seq - 1, name})
		}
		emit(&r)
		next, end = r.Seq+1, at+size
	}
}

// findRecord returns the offset of the first whole record at or after off
// whose number is next or later, or -1. A name on a file system cannot imitate
// a record: names have no zero bytes.
func findRecord(data []byte, off int, next uint64) int {
	for at := off; at+frameSize+fixedSize <= len(data); at++ {
		if recordSize(data[at:]) == 0 {
			continue
		}
		if seq := binary.LittleEndian.Uint64(data[at+frameSize:]); seq < next {
			continue
		}
		if _, _, err := decodeRecord(data[at:]); err == nil {
			return at
		}
	}
	return -1
}
