package fstest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// pids lists the daemons of the mirror: processes of the program under test
// that have its directory as an argument.
func (m *Mirror) pids() []int {
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var out []int
	for _, file := range entries {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		args := bytes.Split(data, []byte{0})
		if len(args) < 2 || (string(args[1]) != "mount" && string(args[1]) != "engine") {
			continue
		}
		for _, a := range args[2:] {
			if string(a) == m.Dir {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				out = append(out, pid)
			}
		}
	}
	return out
}

// awaitExit waits until a killed process is gone.
func awaitExit(pid int) {
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return
		}
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && len(stat) > i+2 && stat[i+2] == 'Z' {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
