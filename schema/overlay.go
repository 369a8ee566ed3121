package schema

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

// told is what of an overlay a database has seen: the hash of each file by its name. An overlay runs every time, because a part of what it
// sets belongs to the server and is lost where a database is copied or restored; but only what is new is news for whoever runs Up. It
// stands in the comment of the table of versions, where a database takes it along and no statement of the books meets it.
type told map[string]string

const (
	sqlSelectTold = `SELECT coalesce(obj_description('schema_version'::regclass, 'pg_class'), '')`
	sqlSetTold    = `COMMENT ON TABLE schema_version IS '%s'` // COMMENT takes no parameters
	toldPrefix    = "overlay "
)

// readTold takes a comment of somebody else for none.
func readTold(ctx context.Context, db *sql.DB) (told, error) {
	var comment string
	if err := db.QueryRowContext(ctx, sqlSelectTold).Scan(&comment); err != nil {
		return nil, fmt.Errorf("read which overlay the database has: %w", err)
	}
	seen := told{}
	if text, ours := strings.CutPrefix(comment, toldPrefix); !ours || json.Unmarshal([]byte(text), &seen) != nil {
		return told{}, nil
	}
	return seen, nil
}

func (t told) write(ctx context.Context, db *sql.DB) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write down which overlay the database has: %w", err)
	}
	quoted := strings.ReplaceAll(toldPrefix+string(text), "'", "''")
	if _, err := db.ExecContext(ctx, fmt.Sprintf(sqlSetTold, quoted)); err != nil {
		return fmt.Errorf("write down which overlay the database has: %w", err)
	}
	return nil
}

// hashes returns what told is after a run of these files.
func hashes(files fs.FS, directory string) (told, error) {
	names, err := fs.Glob(files, directory+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", directory, err)
	}
	all := told{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		all[sourceOf(name)] = hex.EncodeToString(sum[:16])
	}
	return all, nil
}

// overlay applies the files of a directory, and speaks of those that the database has not seen as they are now.
func (m migrator) overlay(ctx context.Context, directory string, o Options) error {
	seen, err := readTold(ctx, m.pool)
	if err != nil {
		return err
	}
	now, err := hashes(m.files, directory)
	if err != nil {
		return err
	}
	news := false
	for source, hash := range now {
		news = news || seen[source] != hash
	}
	if say := o.Progress; say != nil {
		o.Progress = func(line string) {
			if source, _, _ := strings.Cut(line, ": "); seen[source] != now[source] {
				say(line)
			}
		}
	}
	if err := m.run(ctx, directory, everyTime, o); err != nil || !news {
		return err
	}
	return now.write(ctx, m.pool)
}
