package peer

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	magic        = "smfs-peer/"
	maxFirstLine = 256
)

// CheckGreeting says what is wrong, as a *GreetingError, if a peer would not
// begin as first does, the bytes that something has said before it ended.
func CheckGreeting(first []byte) error { return readPreamble(bytes.NewReader(first)) }

// GreetingSize is how many bytes CheckGreeting looks at.
const GreetingSize = maxFirstLine + 1

func preamble() string { return magic + strconv.Itoa(Protocol) + "\n" }

// GreetingError says that what answers is no peer, or one of another version.
type GreetingError struct {
	Line    string // the first line it said, control characters escaped; "" if none
	Version string // what it speaks, if it is a peer
}

func (e *GreetingError) Error() string {
	switch {
	case e.Version != "":
		return fmt.Sprintf("the other side speaks protocol %s, this smfs speaks %d: bring both to the same version", e.Version, Protocol)
	case e.Line == "":
		return "the other side ended without a word: no smfs answers there"
	}
	return fmt.Sprintf("the other side is not smfs: it said \"%s\"", e.Line)
}

// readPreamble reads the peer's first line, and nothing beyond it.
func readPreamble(r io.Reader) error {
	line := make([]byte, 0, maxFirstLine)
	var b [1]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if err == io.EOF {
			return greetingError(line)
		}
		if err != nil {
			return err
		}
		if b[0] == '\n' || len(line) == maxFirstLine {
			break
		}
		line = append(line, b[0])
	}
	if string(line)+"\n" == preamble() {
		return nil
	}
	return greetingError(line)
}

func greetingError(line []byte) error {
	s := string(line)
	if v, ok := strings.CutPrefix(s, magic); ok && isVersion(v) {
		return &GreetingError{Line: s, Version: v}
	}
	return &GreetingError{Line: clean(strings.TrimRight(s, "\r"), maxFirstLine)}
}

func isVersion(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n != Protocol && strconv.Itoa(n) == s
}
