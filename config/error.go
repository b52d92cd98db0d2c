package config

import "fmt"

// Error is one thing that is wrong in a config file.
type Error struct {
	File     string
	Line     int    // counted from 1; 0 if it is said of the whole file
	Key      string // the key, or the section in brackets; may be empty
	Problem  string
	Expected string // what to write instead; may be empty
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	s += ": " + e.Problem
	if e.Expected != "" {
		s += "; expected " + e.Expected
	}
	return s
}
