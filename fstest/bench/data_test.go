package bench

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// megabytes are read or written by each job.
const megabytes = 512

// BenchmarkData measures reading and writing one file, by jobs of fio.
func BenchmarkData(b *testing.B) {
	rate := unit{"MiB/s", func(d time.Duration) float64 { return megabytes / d.Seconds() }}
	compare(b, rate, []job{
		{name: "seq-write", do: fio("--rw=write", "--bs=1m")},
		{name: "seq-rewrite", do: fio("--rw=write", "--bs=128k", "--overwrite=1")},
		{name: "seq-read", do: fio("--rw=read", "--bs=128k")},
		{name: "seq-read, cold", do: fio("--rw=read", "--bs=128k", "--invalidate=1")},
		{name: "rand-read 4k", do: fio("--rw=randread", "--bs=4k")},
		{name: "rand-write 4k", do: fio("--rw=randwrite", "--bs=4k", "--overwrite=1")},
		{name: "rand-write 4k, fsync", do: fio("--rw=randwrite", "--bs=4k", "--overwrite=1", "--end_fsync=1")},
		{name: "mmap rand-write 4k", do: fio("--rw=randwrite", "--bs=4k", "--overwrite=1", "--ioengine=mmap")},
	})
}

// fio runs one job on the one file and returns how long its reads or writes took.
func fio(options ...string) func(dir string) (time.Duration, error) {
	return func(dir string) (time.Duration, error) {
		args := append([]string{
			"--name=job", "--filename=" + filepath.Join(dir, "data"), fmt.Sprintf("--size=%dm", megabytes),
			"--ioengine=psync", "--invalidate=0", "--fallocate=none", "--randrepeat=1", "--output-format=json",
		}, options...)
		out, err := exec.Command("fio", args...).Output()
		if err != nil {
			return 0, fmt.Errorf("fio %v: %w\n%s", options, err, out)
		}
		var result struct {
			Jobs []struct {
				Runtime int `json:"job_runtime"` // ms
			}
		}
		if err := json.Unmarshal(out, &result); err != nil || len(result.Jobs) != 1 {
			return 0, fmt.Errorf("fio %v: %w\n%s", options, err, out)
		}
		return time.Duration(result.Jobs[0].Runtime) * time.Millisecond, nil
	}
}
