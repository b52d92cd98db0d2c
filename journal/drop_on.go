//go:build journaldrop

package journal

// dropped makes every third announcement vanish on its way to the disk, while
// the caller is told that it is there: the defect that the kill test exists
// for. No sequence number is used up, so replay sees no gap.
func dropped(n uint64, k Kind) bool { return n%3 == 0 && k <= KindFound }
