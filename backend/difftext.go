package backend

import (
	"bytes"
	"fmt"
	"strings"

	"znkr.io/diff"
	"znkr.io/diff/textdiff"
)

// isText tells whether content is compared line by line, by git's rule: no zero
// byte near its beginning.
func isText(data []byte) bool { return bytes.IndexByte(data[:min(len(data), 8000)], 0) < 0 }

// compareText counts the lines that differ and, with patch, writes them there as
// hunks of a unified diff.
func compareText(from, to string, patch *strings.Builder) (added, deleted int) {
	for _, h := range textdiff.Hunks(from, to, textdiff.IndentHeuristic()) {
		if patch != nil {
			fmt.Fprintf(patch, "@@ -%s +%s @@\n", hunkRange(h.LineNoX, h.EndLineNoX), hunkRange(h.LineNoY, h.EndLineNoY))
		}
		for _, e := range h.Edits {
			mark := byte(' ')
			switch e.Op {
			case diff.Delete:
				mark = '-'
				deleted++
			case diff.Insert:
				mark = '+'
				added++
			}
			if patch == nil {
				continue
			}
			patch.WriteByte(mark)
			patch.WriteString(e.Line)
			if !strings.HasSuffix(e.Line, "\n") {
				patch.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	return added, deleted
}

// hunkRange is lines from start (counted from 0) to before end, as patch(1) reads
// them: no lines are those after line start.
func hunkRange(start, end int) string {
	switch n := end - start; n {
	case 0:
		return fmt.Sprintf("%d,0", start)
	case 1:
		return fmt.Sprint(start + 1)
	default:
		return fmt.Sprintf("%d,%d", start+1, n)
	}
}
