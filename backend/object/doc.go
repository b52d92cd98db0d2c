// Package object is the store's data model and its byte formats: ids,
// entries, directories with their metadata, commits, covers, signatures. Pure.
package object
