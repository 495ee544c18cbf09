package scope

import (
	"errors"
	"io/fs"
)

// isPermission tells whether the system refused a socket for want of rights.
func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }
