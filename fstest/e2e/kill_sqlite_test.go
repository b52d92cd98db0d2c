package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// database is an sqlite database in the mount that gets one transaction after
// another, from one process of sqlite3 after another.
type database struct {
	*load
	name    string
	journal []string // the journal modes to choose from
	random  *rand.Rand
	begun   int // the last transaction that was sent
	done    int // the last that was acknowledged
	err     error
}

// databases are the ways in which sqlite keeps a transaction whole.
var databases = map[string][]string{"wal.db": {"WAL"}, "rollback.db": {"DELETE", "TRUNCATE", "PERSIST"}}

const (
	rowsKept = 40
	// afterDeath is how many transactions a process may go on for once the
	// daemon is dead.
	afterDeath = 5
)

func (d *database) path() string { return filepath.Join(d.dir, "db", d.name) }

// row is what transaction n inserts.
func row(n int) string {
	return strings.Repeat(fmt.Sprint(n, " "), 1+n%7*500+n%3)
}

// run makes transactions until the daemon is gone or the load is stopped.
func (d *database) run() {
	for !d.stop.Load() && !d.killed.Load() {
		if err := d.session(1 + d.random.IntN(20)); err != nil {
			if !d.killed.Load() {
				d.err = fmt.Errorf("db/%s, transaction %d: %w", d.name, d.begun, err)
			}
			return
		}
	}
}

// session makes some transactions in one process.
func (d *database) session(transactions int) error {
	s, err := startSQLite(d.path())
	if err != nil {
		return err
	}
	_, err = s.ask(fmt.Sprintf("PRAGMA journal_mode = %s; PRAGMA wal_autocheckpoint = 20;", d.journal[d.random.IntN(len(d.journal))]))
	for late := 0; err == nil && transactions > 0 && !d.stop.Load() && late < afterDeath; transactions-- {
		if d.killed.Load() {
			late++
		}
		d.begun++
		n := d.begun
		if _, err = s.ask(fmt.Sprintf("BEGIN IMMEDIATE; UPDATE counter SET n = %d; INSERT INTO t VALUES (%d, '%s'); DELETE FROM t WHERE n <= %d; COMMIT;",
			n, n, row(n), n-rowsKept)); err == nil {
			d.done = n
		}
	}
	return errors.Join(err, s.close())
}

// check has sqlite open the database, which recovers it, and look for what was
// acknowledged.
func (d *database) check() error {
	if d.err != nil {
		return d.err
	}
	n, err := checkDatabase(d.path())
	if err != nil {
		return fmt.Errorf("db/%s: %w", d.name, err)
	}
	if n < d.done || n > d.begun {
		return fmt.Errorf("db/%s: it is at transaction %d; %d was acknowledged, %d begun", d.name, n, d.done, d.begun)
	}
	d.begun, d.done = n, n
	return nil
}

// checkDatabase says at which transaction a database is, which must be whole.
func checkDatabase(path string) (n int, err error) {
	s, err := startSQLite(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	out, err := s.ask("PRAGMA integrity_check;")
	if err != nil {
		return 0, err
	}
	if strings.Join(out, "\n") != "ok" {
		return 0, fmt.Errorf("integrity check: %q", out)
	}
	if out, err = s.ask("SELECT n FROM counter;"); err != nil {
		return 0, err
	}
	if n, err = strconv.Atoi(strings.Join(out, "\n")); err != nil {
		return 0, fmt.Errorf("counter: %w", err)
	}
	out, err = s.ask("SELECT n, text FROM t ORDER BY n;")
	if err != nil {
		return 0, err
	}
	var want []string
	for i := max(1, n-rowsKept+1); i <= n; i++ {
		want = append(want, fmt.Sprint(i, "|", row(i)))
	}
	if strings.Join(out, "\n") != strings.Join(want, "\n") {
		return 0, fmt.Errorf("at transaction %d it has %d rows, not as they were written", n, len(out))
	}
	return n, nil
}

// committedDatabase wants the head's version of a database that nobody has open to
// be whole by itself, and at the transaction that the one on disk is at.
func (a *assault) committedDatabase(d *database) error {
	data, err := exec.Command("git", "--git-dir="+a.Store(), "cat-file", "blob", "main:db/"+d.name).Output()
	if err != nil {
		return fmt.Errorf("db/%s in the head: %w", d.name, err)
	}
	dir, err := os.MkdirTemp("", "smfs-db-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, d.name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	n, err := checkDatabase(file)
	if err == nil && n != d.done {
		err = fmt.Errorf("at transaction %d, on disk at %d", n, d.done)
	}
	if err != nil {
		return fmt.Errorf("db/%s in the head: %w", d.name, err)
	}
	return nil
}

func newDatabase(l *load, name string, random *rand.Rand) (*database, error) {
	d := &database{load: l, name: name, journal: databases[name], random: random}
	s, err := startSQLite(d.path())
	if err != nil {
		return nil, err
	}
	_, err = s.ask("CREATE TABLE counter (n INTEGER); INSERT INTO counter VALUES (0); CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);")
	return d, errors.Join(err, s.close())
}

// sqlite is one process of sqlite3.
type sqlite struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err bytes.Buffer
}

func startSQLite(path string) (*sqlite, error) {
	s := &sqlite{cmd: exec.Command("sqlite3", "-batch", "-bail", path)}
	s.cmd.Stderr = &s.err
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewScanner(out)
	return s, s.cmd.Start()
}

// done ends an answer.
const done = "-- done --"

// ask has statements run and returns the lines that they print, once all have
// succeeded.
func (s *sqlite) ask(statements string) (lines []string, err error) {
	if _, err := fmt.Fprintf(s.in, "%s\n.print %q\n", statements, done); err != nil {
		return nil, fmt.Errorf("sqlite3: %w", err)
	}
	for s.out.Scan() {
		if s.out.Text() == done {
			return lines, nil
		}
		lines = append(lines, s.out.Text())
	}
	return lines, fmt.Errorf("sqlite3: %w", errors.Join(io.ErrUnexpectedEOF, s.out.Err()))
}

func (s *sqlite) close() error {
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, bytes.TrimSpace(s.err.Bytes()))
	}
	return nil
}
