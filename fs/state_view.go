package fs

const (
	stateDirName = ".silvermirror"
	configName   = "config.ini"
	storeName    = "store"
	logName      = "smfs.log"
)

// showsState reports what the mount shows of the state directory: the config,
// which can be edited in place, the store, which plain git may read, and the
// daemon's log. Keys, journal and index are nobody's business above.
func showsState(name string) bool {
	return name == configName || name == storeName || name == logName
}
