package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// StateDir is the name of the state directory in a mirror's base directory.
const StateDir = ".silvermirror"

// Names in the state directory.
const (
	ConfigName = "config.ini"
	KeyName    = "node.key"
	PublicName = "node.pub"

	nodeName = "node.json"
	lockName = "lock"
)

// format is that of node.json.
const format = 1

var (
	// ErrNotMirror says that a directory has no complete state directory.
	ErrNotMirror = errors.New("not a mirror")
	// ErrNewer says that a newer smfs made the state directory.
	ErrNewer = errors.New("made by a newer smfs")
	// ErrName refuses a node name.
	ErrName = errors.New("bad node name")
	// ErrKey says that the device key cannot be used.
	ErrKey = errors.New("bad device key")
)

// Node is one mirror on this machine.
type Node struct {
	Name   string     // for people; the author of its commits
	Mirror string     // the mirror's id: 26 letters and digits
	Signer ssh.Signer // the device key, ed25519
	Config string     // config file outside the state directory, "" for the one in it
}

// record is node.json.
type record struct {
	Format int    `json:"format"`
	Mirror string `json:"mirror"`
	Name   string `json:"name"`
	Config string `json:"config,omitempty"`
}

// Load reads the node whose state directory is dir. It fails with ErrNotMirror
// if a part is missing.
func Load(dir string) (*Node, error) {
	data, err := os.ReadFile(dir + "/" + nodeName)
	if err != nil {
		return nil, missing(err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", nodeName, err)
	}
	if r.Format > format {
		return nil, fmt.Errorf("read %s: format %d: %w", nodeName, r.Format, ErrNewer)
	}
	if err := CheckName(r.Name); err != nil {
		return nil, fmt.Errorf("read %s: %w", nodeName, err)
	}
	if !validID(r.Mirror) {
		return nil, fmt.Errorf("read %s: mirror id %q: not of letters and digits", nodeName, r.Mirror)
	}
	signer, err := loadKey(dir)
	if err != nil {
		return nil, err
	}
	return &Node{Name: r.Name, Mirror: r.Mirror, Signer: signer, Config: r.Config}, nil
}

func missing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotMirror, err)
	}
	return err
}

// New describes a node to be created. Either Config or ConfigFile is given.
type New struct {
	Name       string
	Config     []byte // content of config.ini
	ConfigFile string // absolute path of a config file kept elsewhere
}

// Create makes dir a state directory, adding what is missing. It returns the
// node, and whether its identity is new; an existing node keeps its name, and
// an existing config file its content.
func Create(dir string, o New) (n *Node, created bool, err error) {
	if err := CheckName(o.Name); err != nil {
		return nil, false, err
	}
	if err := makeStateDir(dir); err != nil {
		return nil, false, fmt.Errorf("make the state directory: %w", err)
	}
	if o.ConfigFile == "" {
		if _, err := place(dir, ConfigName, 0o600, o.Config); err != nil {
			return nil, false, err
		}
	}
	if err := createKey(dir, o.Name); err != nil {
		return nil, false, err
	}
	// node.json comes last: with it the mirror is complete.
	data, err := json.Marshal(record{Format: format, Mirror: rand.Text(), Name: o.Name, Config: o.ConfigFile})
	if err != nil {
		return nil, false, fmt.Errorf("encode %s: %w", nodeName, err)
	}
	if created, err = place(dir, nodeName, 0o600, append(data, '\n')); err != nil {
		return nil, false, err
	}
	if n, err = Load(dir); err == nil {
		err = GiveToOwner(dir)
	}
	return n, created, err
}

func makeStateDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return syncDir(filepath.Dir(dir))
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return os.Chmod(dir, 0o700) // it will hold a key
}

// CheckName refuses names that a commit's author line or a terminal could not
// hold: 1 to 64 bytes of printable UTF-8 without "<" and ">", no space at
// either end.
func CheckName(name string) error {
	bad := name == "" || len(name) > 64 || !utf8.ValidString(name) || name[0] == ' ' || name[len(name)-1] == ' '
	for _, r := range name {
		bad = bad || !unicode.IsPrint(r) || r == '<' || r == '>'
	}
	if bad {
		return fmt.Errorf("%q: %w (1 to 64 printable bytes, no <, no >)", name, ErrName)
	}
	return nil
}

// validID keeps a damaged file from naming a socket directory elsewhere.
func validID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(id) == 26
}
