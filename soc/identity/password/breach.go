package password

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/trustelem/zxcvbn/frequency"
)

// List is a list of leaked passwords.
type List interface {
	// Has tells whether the password is on it.
	Has(password string) (bool, error)
	// Name is what the user is told of where the password was found.
	Name() string
}

const (
	// maxWords bounds a list of plain words, which is kept in memory at eight
	// bytes a word. A longer one belongs into a file of hashes.
	maxWords = 8_000_000
	// maxLine bounds a line of a list in bytes.
	maxLine = 4096
)

// ofSite names an operator's list to users, whose business its path is not.
const ofSite = "this site's"

// OpenList opens an operator's list. It is either plain words, one a line, or
// SHA-1 hashes in the form of "Have I Been Pwned" (40 hex digits, then
// optionally a colon and a count), ordered by hash. Hashes are looked up in
// the file itself, so that a list of any length costs no memory. Nothing ever
// leaves the machine.
func OpenList(path string) (List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the list of leaked passwords: %w", err)
	}
	first, err := bufio.NewReaderSize(f, maxLine).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("the list of leaked passwords %s: %w", path, err), f.Close())
	}
	if _, ok := hashOf([]byte(first)); !ok {
		defer f.Close()
		return readWords(path, f)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the list of leaked passwords: %w", err), f.Close())
	}
	list := &hashFile{file: f, size: st.Size(), name: path}
	if err := list.probe(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return list, nil
}

// words is a list in memory: the first eight bytes of each word's SHA-1,
// ordered. Two of a million words share them once in 10^7 such lists.
type words struct{ hashes []uint64 }

func (w *words) Name() string { return ofSite }

func (w *words) Has(password string) (bool, error) {
	_, found := slices.BinarySearch(w.hashes, short(fold(password)))
	return found, nil
}

// fold makes spellings that differ in case alone one, as those who guess do.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func short(s string) uint64 {
	sum := sha1.Sum([]byte(s))
	return binary.BigEndian.Uint64(sum[:8])
}

func readWords(path string, f *os.File) (List, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("the list of leaked passwords %s: %w", path, err)
	}
	list := &words{}
	scan := bufio.NewScanner(f)
	scan.Buffer(make([]byte, 0, maxLine), maxLine)
	for scan.Scan() {
		word := fold(scan.Text())
		if word == "" {
			continue
		}
		if len(list.hashes) == maxWords {
			return nil, fmt.Errorf("the list of leaked passwords %s has more than %d words: give it as ordered SHA-1 hashes, which are looked up in the file", path, maxWords)
		}
		list.hashes = append(list.hashes, short(word))
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("the list of leaked passwords %s, after word %d: %w", path, len(list.hashes), err)
	}
	slices.Sort(list.hashes)
	list.hashes = slices.Compact(list.hashes)
	return list, nil
}

// hashFile is a file of ordered hashes.
type hashFile struct {
	file *os.File
	size int64
	name string
}

func (h *hashFile) Name() string { return ofSite }

// Has looks the password up by bisection over the file's bytes: each step
// reads the first whole line behind the middle.
func (h *hashFile) Has(password string) (bool, error) {
	sum := sha1.Sum([]byte(password))
	low, high := int64(0), h.size // a line that holds the hash begins in [low, high)
	for low < high {
		mid := low + (high-low)/2
		at, line, err := h.lineFrom(mid)
		if err != nil {
			return false, err
		}
		if at >= high {
			high = mid
			continue
		}
		got, ok := hashOf(line)
		if !ok {
			return false, fmt.Errorf("the list of leaked passwords %s, byte %d: %q is no line of 40 hex digits", h.name, at, line)
		}
		switch c := bytes.Compare(got[:], sum[:]); {
		case c == 0:
			return true, nil
		case c < 0:
			low = at + int64(len(line))
		default:
			high = mid
		}
	}
	return false, nil
}

// lineFrom returns the first line that begins at or behind the offset, with its
// end, and where it begins; at the end of the file an offset behind it.
func (h *hashFile) lineFrom(offset int64) (int64, []byte, error) {
	start := max(0, offset-1) // the byte before tells whether a line begins here
	buf := make([]byte, 256)
	n, err := h.file.ReadAt(buf, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("the list of leaked passwords %s: %w", h.name, err)
	}
	buf = buf[:n]
	at := start
	if offset > 0 {
		end := bytes.IndexByte(buf, '\n')
		if end < 0 {
			if start+int64(n) >= h.size {
				return h.size, nil, nil
			}
			return 0, nil, fmt.Errorf("the list of leaked passwords %s has a line of more than %d bytes at byte %d", h.name, len(buf), start)
		}
		at, buf = start+int64(end)+1, buf[end+1:]
	}
	if at >= h.size {
		return h.size, nil, nil
	}
	end := bytes.IndexByte(buf, '\n')
	switch {
	case end >= 0:
		return at, buf[:end+1], nil
	case at+int64(len(buf)) >= h.size:
		return at, buf, nil
	}
	return 0, nil, fmt.Errorf("the list of leaked passwords %s has a line of more than %d bytes at byte %d", h.name, len(buf), at)
}

// probe looks at a hundred places of the file and fails where they are not in
// order: a list ordered by count would find nothing and say so to nobody.
func (h *hashFile) probe() error {
	const places = 100
	var last [sha1.Size]byte
	for i := range int64(places) {
		at, line, err := h.lineFrom(h.size / places * i)
		if err != nil {
			return err
		}
		if at >= h.size {
			return nil
		}
		got, ok := hashOf(line)
		if !ok {
			return fmt.Errorf("the list of leaked passwords %s, byte %d: %q is no line of 40 hex digits", h.name, at, line)
		}
		if bytes.Compare(got[:], last[:]) < 0 {
			return fmt.Errorf("the list of leaked passwords %s is not ordered by hash (byte %d): download the list that is, or sort it", h.name, at)
		}
		last = got
	}
	return nil
}

// hashOf reads the hash at the start of a line.
func hashOf(line []byte) (sum [sha1.Size]byte, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) < 2*sha1.Size || len(line) > 2*sha1.Size && line[2*sha1.Size] != ':' {
		return sum, false
	}
	_, err := hex.Decode(sum[:], line[:2*sha1.Size])
	return sum, err == nil
}

// builtIn is the list that is always there: the thirty thousand most used
// passwords of the zxcvbn project (MIT), and ones that the Chinese net and our
// own field use most.
var builtIn = &embedded{}

type embedded struct {
	once sync.Once
	words
}

func (e *embedded) Name() string { return "built in" }

func (e *embedded) Has(password string) (bool, error) {
	e.once.Do(func() {
		for _, list := range [][]string{frequency.FrequencyLists["passwords"], strings.Fields(field)} {
			for _, w := range list {
				e.hashes = append(e.hashes, short(fold(w)))
			}
		}
		slices.Sort(e.hashes)
	})
	return e.words.Has(password)
}

const field = `
	password1234 password12345 password123456 passw0rd1234 p@ssw0rd1234 p@ssword1234 password@123 password@1234 passw0rd@123
	p@ssw0rd@123 administrator administrator1 administrator123 admin1234567 admin12345678 admin123456789 admin@123456
	admin@12345678 admin@2024 admin@2025 admin@2026 adminadminadmin adminadmin123 qwertyuiop12 qwertyuiop123
	qwerty123456 qwerty@12345 qwer1234asdf 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qaz@wsx3edc !qaz2wsx3edc 1qaz!qaz1qaz 1q2w3e4r5t6y
	1q2w3e4r5t6y7u zaq12wsxcde3 zxcvbnm12345 asdfghjkl123 abc123456789 abcd12345678 abc@12345678 abcd@1234567 aa123456789
	a123456789012 aa1234567890 woaini1314520 woaini520520 woaini5201314 5201314woaini iloveyou1234 letmein12345 welcome12345
	welcome123456 welcome@1234 changeme1234 changeme123456 changemenow1 superman1234 football1234 baseball1234 sunshine1234
	princess1234 trustno1trustno1 icewatch1234 icewatchadmin icewatch12345 icewatch@123 huawei@123456 huawei12#$%
	admin@huawei.com changeme_123 huawei12#$huawei12#$ h3c@123456789 h3capadmin12 ruijie@123456 zxcvbn@12345 venus70@2021
	sangfor@2018 sangfor@123456 topsec@12345 leagsoft@123 nsfocus@1234 qianxin@1234 dbappsecurity dahua@123456
	hikvision123 hik12345hik12345 hk123456hk123456 inspur@12345 root12345678 root@1234567 test12345678 guest1234567 default12345 system123456
	manager12345 server123456 oracle123456 mysql1234567 postgres1234 tomcat123456 sysadmin1234 superuser123 superadmin123
	zhongguo1949 zhongguo@123 zhengfu@1234 zhengwu@1234 zwfw@1234567 woshiguanliyuan a1b2c3d4e5f6`
