package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/tags"
	"github.com/spf13/cobra"
)

func (a *app) tagCommand() *cobra.Command {
	return a.taggingCommand(&cobra.Command{
		Use:   "tag PATH... TAG...",
		Short: "Tag files",
		Long: `Give each PATH each TAG, in one commit. An argument that names no existing path
is a tag; -t names a tag for which there is a path, too. Tags follow a file over
renames and to the peers, and DIR/@tags/TAG/ lists what has them.`,
		Example: `  smfs tag report.txt work urgent
  smfs tag *.jpg holiday
  smfs tag -t work report.txt`,
	}, false)
}

func (a *app) untagCommand() *cobra.Command {
	return a.taggingCommand(&cobra.Command{
		Use:   "untag PATH... TAG...",
		Short: "Take tags off files",
		Long: `Take each TAG off each PATH, in one commit. An argument that names no existing
path is a tag; -t names a tag for which there is a path, too.`,
		Example: `  smfs untag report.txt urgent`,
	}, true)
}

func (a *app) taggingCommand(c *cobra.Command, remove bool) *cobra.Command {
	var named []string
	c.Flags().StringArrayVarP(&named, "tag", "t", nil, "a `TAG`, even if there is a path of that name; may be repeated")
	c.Args = cobra.MinimumNArgs(1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := a.locate(args...)
		if err != nil {
			return err
		}
		o, err := a.tagOptions(m, args, named)
		if err != nil {
			return err
		}
		o.Remove = remove
		return a.tag(cmd.Context(), m, o)
	}
	return c
}

func (a *app) tag(ctx context.Context, m *mirror, o backend.TagOptions) error {
	c, err := a.connect(ctx, m)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Tag(ctx, o)
}

// tagOptions sorts arguments into paths and tags.
func (a *app) tagOptions(m *mirror, args, named []string) (backend.TagOptions, error) {
	o := backend.TagOptions{Tags: named}
	for _, arg := range args {
		if a.namesPath(m, arg) {
			path, err := a.rel(m.base, arg)
			if err != nil {
				return o, err
			}
			o.Paths = append(o.Paths, path)
			continue
		}
		o.Tags = append(o.Tags, arg)
	}
	for _, tag := range o.Tags {
		if err := tags.CheckName(tag); err != nil {
			return o, backend.WithHint(usagef("%q is no existing path, and no tag: %w", tag, err), "check the spelling of the path")
		}
	}
	if len(o.Paths) == 0 {
		return o, backend.WithHint(fmt.Errorf("no path given: %s %w", strings.Join(args, ", "), backend.ErrNotFound),
			"name at least one existing file")
	}
	if len(o.Tags) == 0 {
		return o, backend.WithHint(usagef("no tag given: every argument names an existing path"), "-t TAG names a tag in any case")
	}
	return o, nil
}

// namesPath reports whether arg is a path: one that exists, or is written so
// that it can be nothing else. A bare word that exists only outside of the
// mirror, where the command happens to be run, is a tag.
func (a *app) namesPath(m *mirror, arg string) bool {
	for _, prefix := range []string{"/", "./", "../"} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	if !a.exists(arg) {
		return false
	}
	_, err := a.rel(m.base, arg)
	return err == nil || strings.Contains(arg, "/")
}

func (a *app) tagsCommand() *cobra.Command {
	return a.withJSON(&cobra.Command{
		Use:   "tags [PATH]...",
		Short: "List the tags of files, or all tags",
		Long:  `List the tags of each PATH, or without one all tags and how many files have them.`,
		Example: `  smfs tags
  smfs tags report.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withEngine(cmd.Context(), args, func(m *mirror, c *control.Client) error {
				paths, err := a.rels(m.base, args)
				if err != nil {
					return err
				}
				list, err := c.Tags(cmd.Context(), paths)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(list)
				}
				return a.printTags(list)
			})
		},
	})
}

func (a *app) printTags(list []backend.TagList) error {
	var rows [][]string
	for _, t := range list {
		if t.Path == "" {
			rows = append(rows, []string{strings.Join(t.Tags, " "), fmt.Sprint(t.Count)})
		} else {
			rows = append(rows, []string{t.Path, strings.Join(t.Tags, " ")})
		}
	}
	return a.table(rows)
}
