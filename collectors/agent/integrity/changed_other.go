//go:build !linux

package integrity

import "io/fs"

// changedAt is the time of modification: there is no other.
func changedAt(info fs.FileInfo) int64 { return info.ModTime().UnixNano() }
