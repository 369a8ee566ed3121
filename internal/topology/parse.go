package topology

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Parse reads a topology file. name is what errors call the file, as in three-continents.yaml:7:3. All that is wrong with the file comes
// back at once, a line each, with a sentence that says how to mend it.
func Parse(name string, data []byte) (Topology, error) {
	tree, root, err := yamltree.Parse(name, data, kind)
	if err != nil {
		return Topology{}, err
	}
	t := reader{tree}.document(root)
	if err := tree.Err(); err != nil {
		return Topology{}, err
	}
	return t, nil
}

// Load reads the topology called name, from the file <name>.yaml at the root of fsys. The name inside the file must agree, so that a
// copied file cannot pass for another topology.
func Load(fsys fs.FS, name string) (Topology, error) {
	if !isName(name) {
		return Topology{}, fmt.Errorf("topology %q is not %s%s", clip(name), nameRule, available(fsys))
	}
	file := name + ".yaml"
	data, err := readBounded(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return Topology{}, fmt.Errorf("there is no topology %q%s: %w", name, available(fsys), err)
	}
	if err != nil {
		return Topology{}, fmt.Errorf("read topology %q: %w", name, err)
	}
	t, err := Parse(file, data)
	if err != nil {
		return Topology{}, err
	}
	if t.Name != name {
		return Topology{}, fmt.Errorf("%s: the file says name: %s; give the file and the topology the same name", file, t.Name)
	}
	return t, nil
}

// Names lists the topologies at the root of fsys, in alphabetical order.
func Names(fsys fs.FS) ([]string, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list topologies: %w", err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	slices.Sort(names)
	return names, nil
}

// readBounded reads one byte more than Parse takes, so that an endless file is refused by its size and never held in memory.
func readBounded(fsys fs.FS, file string) ([]byte, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, yamltree.MaxBytes+1))
}

func available(fsys fs.FS) string {
	names, err := Names(fsys)
	if err != nil || len(names) == 0 {
		return ""
	}
	return "; there are: " + strings.Join(names, ", ")
}
