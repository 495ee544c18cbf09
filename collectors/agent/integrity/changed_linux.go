package integrity

import (
	"io/fs"
	"syscall"
)

// changedAt is when the inode changed, which none but root can set back.
func changedAt(info fs.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.ModTime().UnixNano()
	}
	return st.Ctim.Nano()
}
