package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// every calls fn for each command of ours.
func every(fn func(c *cobra.Command)) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		fn(c)
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(rootCommand())
}

func TestHelp_EveryCommandTeaches(t *testing.T) {
	count := 0
	every(func(c *cobra.Command) {
		count++
		path := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its short help is %q", path, c.Short)
		}
		if c.Long == "" && c.Example == "" {
			t.Errorf("%s has neither a description nor an example", path)
		}
		if c.Runnable() && c.Args == nil {
			t.Errorf("%s does not say how many arguments it takes", path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s says nothing", path, f.Name)
			}
		})
		var out strings.Builder
		if code := run(t.Context(), append(strings.Fields(path)[1:], "--help"), &out, &out); code != 0 || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%s --help: exit code %d\n%s", path, code, out.String())
		}
	})
	if count < 15 {
		t.Errorf("only %d commands were looked at", count)
	}
}

var (
	mentionedFlag = regexp.MustCompile(`--([a-z][a-z-]*[a-z])`)
	mentionedEnv  = regexp.MustCompile(`MERIDIAN_[A-Z_]+[A-Z]`)
	mentionedFile = regexp.MustCompile(`\b(?:examples|regions|docs|deploy)/[a-z0-9./-]*`)
)

// helpOf is all that a person reads of a command.
func helpOf(c *cobra.Command) string {
	text := c.Short + "\n" + c.Long + "\n" + c.Example
	c.Flags().VisitAll(func(f *pflag.Flag) { text += "\n" + f.Usage })
	return text
}

func TestHelp_MentionsNothingUndefined(t *testing.T) {
	flags := flagNames(rootCommand())
	flags["config"] = true // of all commands
	variables := map[string]bool{"MERIDIAN_CONFIG": true, "MERIDIAN_ROLE_PASSWORD": true, "MERIDIAN_DOWNLOAD_COCKROACH": true}
	for name := range flags {
		variables[envName(name)] = true
	}
	every(func(c *cobra.Command) {
		text := helpOf(c)
		for _, m := range mentionedFlag.FindAllStringSubmatch(text, -1) {
			if !flags[m[1]] {
				t.Errorf("%s mentions --%s, which no command has", c.CommandPath(), m[1])
			}
		}
		for _, name := range mentionedEnv.FindAllString(text, -1) {
			if !variables[name] {
				t.Errorf("%s mentions %s, which nobody reads", c.CommandPath(), name)
			}
		}
		for _, path := range mentionedFile.FindAllString(text, -1) {
			path = strings.TrimRight(path, ".")
			if _, err := os.Stat(filepath.Join("../..", path)); err != nil && path != "docs/benchmarks.md" {
				t.Errorf("%s mentions %s: %v", c.CommandPath(), path, err)
			}
		}
	})
}

// Each line of an example is a command that parses: with its flags, and with as many arguments as it takes.
func TestHelp_ExamplesParse(t *testing.T) {
	lines := 0
	every(func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(line, " #")
			_, command, found := strings.Cut(" "+strings.TrimSpace(line), " meridian ")
			if strings.TrimSpace(line) == "" {
				continue
			}
			lines++
			if !found {
				t.Errorf("%s: an example that is no command: %s", c.CommandPath(), line)
				continue
			}
			root := rootCommand()
			root.SetOut(io.Discard)
			named, rest, err := root.Find(strings.Fields(command))
			if err != nil || !named.Runnable() {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
				continue
			}
			if err := named.ParseFlags(rest); err != nil {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
				continue
			}
			if err := named.ValidateArgs(named.Flags().Args()); err != nil {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
			}
			if err := named.ValidateRequiredFlags(); err != nil {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
			}
		}
	})
	if lines < 10 {
		t.Errorf("only %d lines of examples were looked at", lines)
	}
}
