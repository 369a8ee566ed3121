package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// configured resolves the flags of a small command and returns it.
func configured(t *testing.T, file string, env map[string]string, args ...string) (*cobra.Command, error) {
	t.Helper()
	root := &cobra.Command{Use: "meridian"}
	root.PersistentFlags().String("config", "", "")
	cmd := &cobra.Command{Use: "work", RunE: func(*cobra.Command, []string) error { return nil }}
	cmd.Flags().String("database-url", "default", "")
	cmd.Flags().Duration("drain-delay", 0, "")
	cmd.Flags().StringSlice("allowed-origins", nil, "")
	cmd.Flags().Bool("otel", false, "")
	cmd.Flags().Int("max-group", 512, "")
	other := &cobra.Command{Use: "other", RunE: func(*cobra.Command, []string) error { return nil }}
	other.Flags().String("of-another", "", "")
	root.AddCommand(cmd, other)
	if file != "" {
		path := filepath.Join(t.TempDir(), "meridian.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	root.SetArgs(append([]string{"work"}, args...))
	root.SilenceErrors, root.SilenceUsage = true, true
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		return resolve(cmd, func(name string) (string, bool) { v, found := env[name]; return v, found })
	}
	return cmd, root.Execute()
}

func TestResolve_AFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	type env = map[string]string
	for _, row := range []struct {
		name string
		file string
		env  env
		args []string
		flag string
		want string
	}{
		{"nothing", "", nil, nil, "database-url", "default"},
		{"the file", "database-url: file", nil, nil, "database-url", "file"},
		{"the environment over the file", "database-url: file", env{"MERIDIAN_DATABASE_URL": "env"}, nil, "database-url", "env"},
		{"the flag over both", "database-url: file", env{"MERIDIAN_DATABASE_URL": "env"}, []string{"--database-url", "flag"}, "database-url", "flag"},
		{"a flag set to its default is set", "", env{"MERIDIAN_DATABASE_URL": "env"}, []string{"--database-url", "default"}, "database-url", "default"},
		{"the environment alone", "", env{"MERIDIAN_MAX_GROUP": "7"}, nil, "max-group", "7"},
		{"an empty variable is a value", "database-url: file", env{"MERIDIAN_DATABASE_URL": ""}, nil, "database-url", ""},
		{"underscores in the file", "drain_delay: 3s", nil, nil, "drain-delay", "3s"},
		{"a number", "max-group: 16", nil, nil, "max-group", "16"},
		{"a truth", "otel: true", nil, nil, "otel", "true"},
		{"a list", "allowed-origins: [https://a.example, https://b.example]", nil, nil, "allowed-origins", "[https://a.example,https://b.example]"},
		{"a list of lines", "allowed-origins:\n  - https://a.example", nil, nil, "allowed-origins", "[https://a.example]"},
		{"a list in the environment", "", env{"MERIDIAN_ALLOWED_ORIGINS": "a,b"}, nil, "allowed-origins", "[a,b]"},
		{"flags of other commands may stand in the file", "of-another: x\notel: true", nil, nil, "otel", "true"},
		{"variables of others are none of ours", "", env{"MERIDIAN_UNHEARD_OF": "x"}, nil, "otel", "false"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd, err := configured(t, row.file, row.env, row.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := cmd.Flag(row.flag).Value.String(); got != row.want {
				t.Errorf("--%s is %q, want %q", row.flag, got, row.want)
			}
		})
	}
}

func TestResolve_RefusesAndNamesTheKey(t *testing.T) {
	for _, row := range []struct {
		name, file string
		env        map[string]string
		want       []string
	}{
		{"a key that nobody knows", "databse-url: x", nil, []string{"meridian.yaml", "no command has a flag --databse-url", "database-url"}},
		{"no value", "database-url:", nil, []string{"meridian.yaml", "database-url: there is no value"}},
		{"parts", "database-url: {host: x}", nil, []string{"meridian.yaml", "database-url: want one value or a list"}},
		{"the same key twice", "otel: true\notel: false", nil, []string{"meridian.yaml", "otel"}},
		{"not a mapping", "- otel", nil, []string{"meridian.yaml"}},
		{"broken YAML", "otel: [", nil, []string{"meridian.yaml"}},
		{"a value of another type", "drain-delay: soon", nil, []string{"--drain-delay from ", "meridian.yaml", "soon"}},
		{"in the environment", "", map[string]string{"MERIDIAN_DRAIN_DELAY": "soon"}, []string{"--drain-delay from MERIDIAN_DRAIN_DELAY", "soon"}},
		{"a file that is not there", "", map[string]string{"MERIDIAN_CONFIG": "/nowhere/meridian.yaml"}, []string{"the config file /nowhere/meridian.yaml is not there"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := configured(t, row.file, row.env)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
}

func TestConfig_HoldsForTheWholeProgram(t *testing.T) {
	d := postgres(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("json: true\nlisten: 127.0.0.1:1\ndatabase-url: " + d.AdminURL + "\n")
	if out := ok(t, "version", "--config", file); !json.Valid([]byte(out)) {
		t.Errorf("json: true in the file, and version prints %s", out)
	}
	if out := ok(t, "version", "--config", file, "--json=false"); !strings.HasPrefix(out, "meridian ") {
		t.Errorf("--json=false, and version prints %s", out)
	}
	if r := meridianWith(t, []string{"MERIDIAN_JSON=false", "MERIDIAN_CONFIG=" + file}, "version"); r.code != 0 || !strings.HasPrefix(r.stdout, "meridian ") {
		t.Errorf("MERIDIAN_JSON=false over the file: %s", r)
	}
	var migrations []struct {
		Version   int64
		AppliedAt time.Time
	}
	if out := ok(t, "migrate", "status", "--config", file); json.Unmarshal([]byte(out), &migrations) != nil || len(migrations) == 0 {
		t.Errorf("the file names the database, and migrate status prints %s", out)
	}
	r := meridianWith(t, []string{"MERIDIAN_DATABASE_URL=postgresql://nobody@127.0.0.1:1/none", "MERIDIAN_CONFIG=" + file}, "migrate", "status")
	refused(t, r, "the database") // the environment won, and nobody is there
	if r := meridianWith(t, []string{"MERIDIAN_DATABASE_URL=postgresql://nobody@127.0.0.1:1/none"}, "migrate", "status", "--database-url", d.AdminURL); r.code != 0 {
		t.Errorf("the flag has to win: %s", r)
	}
	write("databse-url: x\n")
	refused(t, meridian(t, "version", "--config", file), "--databse-url", file)
}
