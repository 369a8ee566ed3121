package schema

import (
	"context"
	"io/fs"
	"time"
)

// Files are the migrations and overlays as they are embedded.
var Files fs.FS = files

// UpFrom is Up for other files, with a lock whose lease and poll suit a test.
func UpFrom(ctx context.Context, url string, files fs.FS, o Options) error {
	return source{files: files, lease: 2 * time.Second, poll: 20 * time.Millisecond, tries: 3000}.up(ctx, url, o)
}
