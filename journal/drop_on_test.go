//go:build journaldrop

package journal

import "testing"

// TestDropIsNoticed shows that a journal which loses records fails the crash
// test. Of this build it is the only test to run.
func TestDropIsNoticed(t *testing.T) {
	for _, seed := range seeds(t) {
		if crashHistory(seed) != nil {
			return
		}
	}
	t.Fatal("a journal that drops records passes the crash test")
}
