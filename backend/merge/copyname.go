package merge

import "github.com/silvermirror/smfs/backend/object"

// CopyName is the name that a version gets which cannot keep its own, derived
// from its content: "report.conflict-3f2a91c4.txt".
func CopyName(name string, content object.BlobID) string {
	return conflictName(name, content[:4])
}
