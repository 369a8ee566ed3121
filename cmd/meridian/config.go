package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const envPrefix = "MERIDIAN_"

// resolve gives each flag that the command line leaves open its value from the environment, or else from the YAML file. A key of the file
// that no command knows is refused: a typo must not silently mean a default.
func resolve(cmd *cobra.Command, env func(string) (string, bool)) error {
	path := cmd.Flag("config").Value.String()
	if fromEnv, found := env(envPrefix + "CONFIG"); path == "" && found {
		path = fromEnv
	}
	file, err := readConfig(path, cmd.Root())
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || f.Name == "config" || f.Name == "help" {
			return
		}
		value, source := "", ""
		if v, found := env(envName(f.Name)); found {
			value, source = v, envName(f.Name)
		} else if v, found := file[f.Name]; found {
			value, source = v, path
		}
		if source == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("--%s from %s: %w", f.Name, source, err)
		}
	})
	return failed
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func readConfig(path string, root *cobra.Command) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the config file %s is not there", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the config file: %w", err)
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(raw, &values); err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	known := flagNames(root)
	file := make(map[string]string, len(values))
	for key, v := range values {
		name := strings.ReplaceAll(key, "_", "-")
		if !known[name] {
			return nil, fmt.Errorf("%s: no command has a flag --%s; known are %s", path, name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if file[name], err = configValue(v); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
	}
	return file, nil
}

// configValue is a value as it would stand on the command line. A list stands there with commas.
func configValue(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errors.New("there is no value; leave the key out to take the default")
	case map[string]any:
		return "", errors.New("want one value or a list; keys are flags and have no parts")
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			var err error
			if parts[i], err = configValue(p); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(v), nil
}

func flagNames(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	return names
}

func jsonFlag(cmd *cobra.Command, p *bool) {
	cmd.Flags().BoolVar(p, "json", false, "print JSON instead of text")
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// viewsOf are what a script reads of several things: an empty list where there is none.
func viewsOf[T, V any](all []T, view func(T) V) []V {
	views := make([]V, len(all))
	for i, one := range all {
		views[i] = view(one)
	}
	return views
}
