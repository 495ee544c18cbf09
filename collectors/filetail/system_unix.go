//go:build unix

package filetail

import (
	"errors"
	"os"
	"syscall"
)

func identify(info os.FileInfo) identity {
	st := info.Sys().(*syscall.Stat_t)
	return identity{Dev: uint64(st.Dev), Inode: st.Ino}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
