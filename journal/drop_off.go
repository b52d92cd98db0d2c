//go:build !journaldrop && !journaloff

package journal

// dropped is where a build with the tag journaldrop loses records, to prove
// that the tests notice. This build loses none.
func dropped(uint64, Kind) bool { return false }
