//go:build unix

package integrity

import (
	"io/fs"
	"strconv"
	"syscall"
)

// owner is uid:gid.
func owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return strconv.Itoa(int(st.Uid)) + ":" + strconv.Itoa(int(st.Gid))
}
