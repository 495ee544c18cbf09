package datagram

import (
	"bytes"
	"os"
	"strconv"
)

// kernelDrops reads from /proc how many datagrams the kernel dropped because
// the socket's buffer was full. ok is false where the kernel does not tell.
func kernelDrops(inode uint64) (drops uint64, ok bool) {
	for _, path := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if drops, ok = dropsOf(data, inode); ok {
			return drops, true
		}
	}
	return 0, false
}

// dropsOf finds the socket's line in the table of proc(5): the inode is its
// tenth column and the drops are its last.
func dropsOf(table []byte, inode uint64) (uint64, bool) {
	want := strconv.AppendUint(nil, inode, 10)
	for line := range bytes.Lines(table) {
		columns := bytes.Fields(line)
		if len(columns) < 13 || !bytes.Equal(columns[9], want) {
			continue
		}
		n, err := strconv.ParseUint(string(columns[12]), 10, 64)
		return n, err == nil
	}
	return 0, false
}
