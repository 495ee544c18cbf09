package filetail

import (
	"os"
	"syscall"
)

// identify takes the moment a file was made, in steps of 100 ns, for its number:
// it stays over renaming, and what a file begins with decides where two have the
// same.
func identify(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Win32FileAttributeData)
	if !ok {
		return identity{}
	}
	return identity{Dev: 1, Inode: uint64(st.CreationTime.Nanoseconds())}
}

// syncDir does nothing: Windows has no way to, and NTFS logs names by itself.
func syncDir(string) error { return nil }
