package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds a config file in bytes.
const maxFile = 1 << 20

// Load reads and parses a config file.
func Load(file string) (*Config, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxFile {
		err = &Error{File: file, Problem: fmt.Sprintf("is larger than %d bytes", maxFile)}
	}
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return Parse(file, data)
}

// Parse reads data as the content of the config file of that name, which also
// decides where relative directories start; it need not exist. What is wrong in
// data is an *Error.
func Parse(file string, data []byte) (*Config, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("parse config %s: %w", file, err)
	}
	sections, err := readSections(file, data)
	if err != nil {
		return nil, err
	}
	p := parser{file: file, config: &Config{File: abs}}
	if err := p.sections(sections); err != nil {
		return nil, err
	}
	return p.config, nil
}

// parser turns sections into a Config.
type parser struct {
	file   string // as the caller spells it, for errors
	config *Config
	lines  map[string]int // where each section began
}

func (p *parser) sections(list []section) error {
	if err := p.unique(list); err != nil {
		return err
	}
	resources, err := p.main(list)
	if err != nil {
		return err
	}
	if len(resources) == 0 {
		return &Error{File: p.file, Problem: "names no resource", Expected: "at least one section such as [docs]"}
	}
	// Parents first, since children inherit; then the file's order again.
	slices.SortStableFunc(resources, func(a, b section) int {
		return cmp.Compare(strings.Count(a.name, ":"), strings.Count(b.name, ":"))
	})
	for _, s := range resources {
		if err := p.resource(s); err != nil {
			return err
		}
	}
	slices.SortFunc(p.config.Resources, func(a, b Resource) int {
		return cmp.Compare(p.lines[a.Name], p.lines[b.Name])
	})
	return p.checkLayout()
}

func (p *parser) unique(list []section) error {
	p.lines = map[string]int{}
	for _, s := range list {
		if first, twice := p.lines[s.name]; twice {
			return p.atSection(s, fmt.Sprintf("stands in line %d already", first), "each section once")
		}
		p.lines[s.name] = s.line
	}
	return nil
}

// main reads the main section, wherever it is, and returns the others.
func (p *parser) main(list []section) (resources []section, err error) {
	d := draft{Options: defaults()}
	main := section{name: mainSection}
	for _, s := range list {
		if s.name == mainSection {
			main = s
			continue
		}
		resources = append(resources, s)
	}
	if err := p.read(&d, main); err != nil {
		return nil, err
	}
	p.config.Main = d.Options
	p.config.Base, err = base(p.config.File, d.directory)
	if err != nil {
		e := &Error{File: p.file, Line: main.line, Key: "directory", Problem: err.Error(), Expected: "a directory"}
		for _, entry := range main.entries {
			if k, _ := lookUp(entry.key, true); k.name == "directory" {
				e.Line, e.Key = entry.line, entry.key
			}
		}
		return nil, e
	}
	return resources, nil
}

func (p *parser) resource(s section) error {
	if problem := resourceNameProblem(s.name); problem != "" {
		return p.atSection(s, problem, "["+mainSection+"], or a resource: a name, or names joined by colons")
	}
	parentPath, parentDir, inherited := "", p.config.Base, p.config.Main
	name := s.name
	if i := strings.LastIndexByte(s.name, ':'); i >= 0 {
		parent := p.config.Resource(s.name[:i])
		if parent == nil {
			return p.atSection(s, "lies in a resource that has no section", "a section ["+s.name[:i]+"]")
		}
		parentPath, parentDir, inherited = parent.Path, parent.Directory, parent.Options
		name = s.name[i+1:]
	}
	d := draft{Options: inherited.inherit()}
	if err := p.read(&d, s); err != nil {
		return err
	}
	r := Resource{Name: s.name, Path: join(parentPath, name), Directory: filepath.Join(parentDir, name), Options: d.Options}
	if d.directory != "" {
		if err := p.place(&r, d.directory); err != nil {
			return &Error{File: p.file, Line: lineOf(s, "directory"), Key: "directory", Problem: err.Error(), Expected: "a directory"}
		}
	}
	r.External = r.Directory != filepath.Join(p.config.Base, r.Path)
	p.config.Resources = append(p.config.Resources, r)
	return nil
}

// place puts the resource where its section says. Inside the base, that is where
// it appears in the mirror, too.
func (p *parser) place(r *Resource, directory string) error {
	dir, err := expand(directory)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.config.Base, dir)
	}
	r.Directory = filepath.Clean(dir)
	if rest, inside := within(p.config.Base, r.Directory); inside {
		r.Path = rest
	}
	return nil
}

// read applies the section's keys to d.
func (p *parser) read(d *draft, s section) error {
	main := s.name == mainSection
	seen := map[string]int{}
	for _, e := range s.entries {
		k, ok := lookUp(e.key, main)
		if !ok {
			return &Error{File: p.file, Line: e.line, Key: e.key, Problem: "unknown key", Expected: keyNames()}
		}
		if first, twice := seen[k.name]; twice {
			return &Error{File: p.file, Line: e.line, Key: e.key, Problem: fmt.Sprintf("is set in line %d already", first), Expected: "each key once a section"}
		}
		seen[k.name] = e.line
		if err := k.set(d, e); err != nil {
			return &Error{File: p.file, Line: e.line, Key: e.key, Problem: err.Error(), Expected: k.expected}
		}
	}
	return nil
}

func (p *parser) atSection(s section, problem, expected string) error {
	return &Error{File: p.file, Line: s.line, Key: "[" + s.name + "]", Problem: problem, Expected: expected}
}

func lineOf(s section, key string) int {
	for _, e := range s.entries {
		if e.key == key {
			return e.line
		}
	}
	return s.line
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
