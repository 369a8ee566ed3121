package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// systemUser is the account that PostgreSQL runs as when we are root, which it refuses to run as. A nil *systemUser is
// ourselves.
type systemUser struct {
	name     string
	uid, gid uint32
}

// postgresAccount returns the account to run PostgreSQL as.
func postgresAccount() (*systemUser, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres to run it as: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read the ids of the user postgres: %w", err)
	}
	return &systemUser{name: u.Username, uid: uint32(uid), gid: uint32(gid)}, nil
}

func (u *systemUser) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.uid, Gid: u.gid}
}

// own hands a file that was just created to the user; created is the outcome of creating it.
func (u *systemUser) own(created error, path string) error {
	if created != nil || u == nil {
		return created
	}
	return os.Chown(path, int(u.uid), int(u.gid))
}

// canReach says which directory on the way to dir the user may not pass through.
func (u *systemUser) canReach(dir string) error {
	if u == nil {
		return nil
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("look at the engine's directory: %w", err)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil // the system does not say; PostgreSQL will
		}
		pass := os.FileMode(0o001)
		switch {
		case owner.Uid == u.uid:
			pass = 0o100
		case owner.Gid == u.gid:
			pass = 0o010
		}
		if info.Mode()&pass == 0 {
			return fmt.Errorf("PostgreSQL does not run as root, and the user %s may not enter %s (%s): "+
				"choose another directory or run as an ordinary user", u.name, dir, info.Mode())
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
