package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FormatVersion is the newest store format that this package knows.
const FormatVersion = 1

const (
	metaName = "smfs"
	maxMeta  = 1 << 20
)

// Errors about a store as a whole.
var (
	ErrNewerFormat = errors.New("store has a newer format")
	ErrDamaged     = errors.New("store is damaged")
)

// Meta is what a store knows of itself, besides its objects and refs.
type Meta struct {
	Format      int      `json:"format"`       // 0 in Create: the newest
	ResourceIDs []string `json:"resource_ids"` // the current id first, then ids held while empty
	Incarnation string   `json:"incarnation"`  // second part of the writer's name
	MachineID   string   `json:"machine_id"`   // where the incarnation was taken
	StateInode  uint64   `json:"state_inode"`  // inode of the state directory then
}

func (m Meta) clone() Meta {
	m.ResourceIDs = append([]string(nil), m.ResourceIDs...)
	return m
}

func writeMeta(d disk, dir string, m Meta) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write store description: %w", err)
	}
	if err := writeDurably(d, dir, filepath.Join(dir, metaName), append(data, '\n')); err != nil {
		return fmt.Errorf("write store description: %w", err)
	}
	return nil
}

func readMeta(dir string) (m Meta, err error) {
	f, err := os.Open(filepath.Join(dir, metaName))
	if err != nil {
		return m, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMeta))
	if err != nil {
		return m, fmt.Errorf("read store description: %w", err)
	}
	// The format alone first: a newer one may hold anything else.
	var v struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &v); err != nil || v.Format < 1 {
		return m, fmt.Errorf("%w: its file %q is not readable", ErrDamaged, metaName)
	}
	if v.Format > FormatVersion {
		return m, fmt.Errorf("%w: %d, this program knows up to %d", ErrNewerFormat, v.Format, FormatVersion)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: its file %q is not readable: %w", ErrDamaged, metaName, err)
	}
	return m, nil
}

// Meta returns a copy of what the store knows of itself.
func (s *Store) Meta() Meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.clone()
}

// SetMeta replaces it, durably and atomically. Format stays as it is.
func (s *Store) SetMeta(m Meta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m = m.clone()
	m.Format = s.meta.Format
	if err := writeMeta(s.disk, s.dir, m); err != nil {
		return err
	}
	s.meta = m
	return nil
}
