package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/google/renameio/v2"
	"gopkg.in/ini.v1"

	"github.com/silvermirror/smfs/backend/peer"
)

// peerFile is the list of peers that `smfs peer` keeps: a section a peer, in
// the state directory.
type peerFile struct {
	path string
	list map[string]PeerSpec // by name
}

func openPeerFile(state string) (*peerFile, error) {
	f := &peerFile{path: filepath.Join(state, "peers.ini"), list: map[string]PeerSpec{}}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := ini.Load(data)
	if err != nil {
		return nil, WithHint(fmt.Errorf("read peers.ini: %w", err), "mend the file, or remove it and add the peers again")
	}
	for _, s := range file.Sections() {
		if s.Name() == ini.DefaultSection {
			continue
		}
		f.list[s.Name()] = PeerSpec{Name: s.Name(), URL: s.Key("url").String(), Command: s.Key("command").String()}
	}
	return f, nil
}

// save writes the list anew: whole or not at all.
func (f *peerFile) save() error {
	file := ini.Empty()
	for _, name := range f.names() {
		p := f.list[name]
		s, err := file.NewSection(name)
		if err != nil {
			return err
		}
		if _, err := s.NewKey("url", p.URL); err != nil {
			return err
		}
		if p.Command == "" {
			continue
		}
		if _, err := s.NewKey("command", p.Command); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if _, err := file.WriteTo(&text); err != nil {
		return err
	}
	return renameio.WriteFile(f.path, text.Bytes(), 0o600)
}

func (f *peerFile) names() []string {
	names := make([]string, 0, len(f.list))
	for name := range f.list {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// configuredPeers unites peers.ini with the hosts of the config: a host there
// is the name of an entry, or a URL of its own.
func configuredPeers(f *peerFile, hosts []string) ([]PeerSpec, error) {
	var out []PeerSpec
	for _, name := range f.names() {
		out = append(out, f.list[name])
	}
	seen := map[string]bool{}
	for _, h := range hosts {
		if _, ok := f.list[h]; ok || seen[h] {
			continue
		}
		seen[h] = true
		if _, err := peer.ParseURL(h); err != nil {
			return nil, fmt.Errorf("host %q in the config: %w", h, err)
		}
		out = append(out, PeerSpec{Name: h, URL: h})
	}
	return out, nil
}
