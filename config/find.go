package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrNotFound says that no config file is at any place of the look-up order.
	ErrNotFound = errors.New("no config file")
	// ErrOwner says that a config file, met above the working directory and not
	// named by anybody, belongs to another user. It may run commands, so it is
	// used only if it is named.
	ErrOwner = errors.New("config file belongs to another user")
)

// Find returns the config file to use, the first that exists of
//
//	explicit (the option -c), $SMFS_CONFIG
//	dir/.silvermirror/config.ini
//	the same in cwd and above it, if no dir is given
//	$XDG_CONFIG_HOME/smfs/config.ini, else ~/.config/smfs/config.ini
//	~/.silvermirror, where it is a file
//	/etc/silvermirror
//
// What explicit or $SMFS_CONFIG name must exist. dir, cwd, explicit may be
// empty; dir and cwd are absolute. The last three places are not bound to dir:
// who was given a dir compares it with the Base that they name.
// The error is ErrNotFound, ErrOwner, or what the system said.
func Find(explicit, dir, cwd string, env func(string) string) (file string, err error) {
	for _, named := range []string{explicit, env("SMFS_CONFIG")} {
		if named != "" {
			return findNamed(named, cwd)
		}
	}
	if dir == "" {
		file, err = findAbove(cwd)
	} else {
		file, err = findFirst([]string{filepath.Join(dir, Dir, Name)})
	}
	if err != nil || file != "" {
		return file, err
	}
	file, err = findFirst(userFiles(env))
	if err == nil && file == "" {
		err = ErrNotFound
	}
	return file, err
}

func findNamed(file, cwd string) (string, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(cwd, file)
	}
	found, err := isFile(file)
	if err == nil && !found {
		err = &fs.PathError{Op: "find config", Path: file, Err: fs.ErrNotExist}
	}
	return file, err
}

// findAbove looks in dir and all directories above it.
func findAbove(dir string) (string, error) {
	for ; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
		file := filepath.Join(dir, Dir, Name)
		found, err := isFile(file)
		if err != nil {
			return "", err
		}
		if found {
			return file, checkOwner(file, os.Geteuid())
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "", nil
}

func findFirst(files []string) (string, error) {
	for _, file := range files {
		if found, err := isFile(file); err != nil || found {
			return file, err
		}
	}
	return "", nil
}

// userFiles lists the places that depend on no mirror, in order.
func userFiles(env func(string) string) []string {
	var files []string
	home := env("HOME")
	if x := env("XDG_CONFIG_HOME"); filepath.IsAbs(x) {
		files = append(files, filepath.Join(x, "smfs", Name))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "smfs", Name))
	}
	if home != "" {
		files = append(files, filepath.Join(home, Dir))
	}
	return append(files, "/etc/silvermirror")
}

// isFile reports whether a regular file is there, through symbolic links.
func isFile(file string) (bool, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find config: %w", err)
	}
	return info.Mode().IsRegular(), nil
}

// checkOwner lets pass what belongs to the user euid or to root.
func checkOwner(file string, euid int) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("find config: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != euid {
		return fmt.Errorf("%w: %s (uid %d); name it with -c to use it", ErrOwner, file, st.Uid)
	}
	return nil
}
