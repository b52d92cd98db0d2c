package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// job is one piece of work in a directory, where the jobs before it have run.
type job struct {
	name string
	cold bool // with the kernel's caches of names and inodes empty
	do   func(dir string) (time.Duration, error)
}

// timed makes a job's work of something whose whole time counts.
func timed(do func(dir string) error) func(dir string) (time.Duration, error) {
	return func(dir string) (time.Duration, error) {
		start := time.Now()
		err := do(dir)
		return time.Since(start), err
	}
}

// unit is how a table shows what a job took.
type unit struct {
	name  string
	value func(time.Duration) float64
}

var inSeconds = unit{"s", time.Duration.Seconds}

// compare does the jobs on each of the filesystems, b.N times, and prints the best
// times. The filesystems take turns, and what one has to do after a job (smfs
// commits) it does before the next.
func compare(b *testing.B, u unit, jobs []job) {
	for _, base := range bases {
		b.Run(base.name, func(b *testing.B) {
			kinds := filesystems(b)
			best := times{}
			for range b.N {
				for _, k := range kinds {
					best.measure(b, k, base.make, jobs)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.Log("\n" + best.table(u, kinds, jobs))
		})
	}
}

// times are the shortest ones by job and filesystem.
type times map[[2]string]time.Duration

func (best times) measure(b *testing.B, k filesystem, base func(*testing.B) string, jobs []job) {
	dir, settle, end := k.mount(b, base(b))
	for _, j := range jobs {
		if j.cold {
			dropCaches(b)
		}
		took, err := j.do(dir)
		if err != nil {
			b.Fatalf("%s on %s: %v", j.name, k.name, err)
		}
		if was := best[[2]string{j.name, k.name}]; was == 0 || took < was {
			best[[2]string{j.name, k.name}] = took
		}
		settle()
	}
	end()
}

// table shows, beside the times, how fast smfs is: of what the directory itself is,
// and of what the faster of the peers is; without passthrough, which the loopback has,
// of what bindfs is; and what of its time goes into the journal.
func (best times) table(u unit, kinds []filesystem, jobs []job) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, u.name, "\t")
	for _, k := range kinds {
		fmt.Fprint(w, k.name, "\t")
	}
	fmt.Fprintln(w, "native/smfs\tpeers/smfs\tbindfs/smfs-user\tjournal\t")
	for _, j := range jobs {
		fmt.Fprint(w, j.name, "\t")
		took := func(kind string) time.Duration { return best[[2]string{j.name, kind}] }
		for _, k := range kinds {
			fmt.Fprintf(w, "%.1f\t", u.value(took(k.name)))
		}
		ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
		peer := min(took("bindfs"), took("loopback"))
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%+.1f %%\t\n", ratio(took("native"), took("smfs")), ratio(peer, took("smfs")),
			ratio(took("bindfs"), took("smfs-user")), 100*(ratio(took("smfs"), took("no journal"))-1))
	}
	w.Flush()
	return out.String()
}

func dropCaches(b *testing.B) {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2\n"), 0); err != nil {
		b.Fatal(err)
	}
}
