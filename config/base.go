package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// base finds the base directory from what the main section says, if anything.
func base(file, directory string) (string, error) {
	if directory == "" {
		return defaultBase(file)
	}
	dir, err := expand(directory)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(anchor(file), dir)
	}
	return filepath.Clean(dir), nil
}

// defaultBase is the mirror that the file lies in, else the home directory.
func defaultBase(file string) (string, error) {
	if filepath.Base(filepath.Dir(file)) == Dir {
		return anchor(file), nil
	}
	return expand("~")
}

// anchor is where relative directories of the main section start.
func anchor(file string) string {
	dir := filepath.Dir(file)
	if filepath.Base(dir) == Dir {
		return filepath.Dir(dir)
	}
	return dir
}

// expand replaces a leading "~" by the home directory.
func expand(path string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	user, rest, _ := strings.Cut(path[1:], "/")
	if user != "" {
		return "", errors.New("~" + user + " is not supported, only ~ and ~/ (./~" + user + " is the directory of that name)")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("$HOME is not absolute")
	}
	return filepath.Join(home, rest), nil
}
