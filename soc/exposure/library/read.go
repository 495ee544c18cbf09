package library

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"icewatch/detections"
)

// Bounds of a file.
const (
	maxRecord  = 16 << 20 // bytes of one vulnerability as it is written
	maxUnpack  = 16 << 30 // bytes of a packed file unpacked
	maxMembers = 2_000_000
	maxList    = 5_000 // aliases, references or products of a vulnerability
	maxRanges  = 20_000
	maxID      = 128
	maxText    = 64 << 10
)

// The formats of files. Auto finds out by the content.
const (
	Auto         = ""
	FormatNVD    = "nvd"
	FormatCNNVD  = "cnnvd" // and CNVD
	FormatOSV    = "osv"
	FormatCSAF   = "csaf"
	FormatEPSS   = "epss"
	FormatKEV    = "kev"
	FormatDebian = "debian"
)

// Formats lists the formats of files.
var Formats = []string{FormatNVD, FormatCNNVD, FormatOSV, FormatCSAF, FormatEPSS, FormatKEV, FormatDebian}

// Fault says what is wrong with a file, and where.
type Fault struct {
	File string // of an archive's member, else ""
	Line int    // 1 is the first; 0 where Byte says it
	Byte int64  // offset in the unpacked file
	ID   string // of the vulnerability at that place, where it is known
	What string
}

func (f *Fault) Error() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File + ", ")
	}
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d", f.Line)
	} else {
		fmt.Fprintf(&b, "byte %d", f.Byte)
	}
	if f.ID != "" {
		b.WriteString(" (" + f.ID + ")")
	}
	b.WriteString(": " + f.What)
	return b.String()
}

// ReadFile reads the vulnerabilities of a file one after the other: plain, packed
// by gzip, or a ZIP of such files. The first fault, or error of fn, ends it.
// done, where it is not nil, is told how many bytes of the file are behind.
func ReadFile(ctx context.Context, name, format string, fn func(*Record) error, done func(bytes int64)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [4]byte
	n, err := io.ReadFull(f, magic[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if n == 4 && string(magic[:]) == "PK\x03\x04" {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		return readZip(ctx, f, st.Size(), format, fn, done)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return Read(ctx, &counting{r: f, done: done}, format, fn)
}

func readZip(ctx context.Context, f io.ReaderAt, size int64, format string, fn func(*Record) error, done func(int64)) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return &Fault{What: "the ZIP archive cannot be read: " + err.Error()}
	}
	if len(z.File) > maxMembers {
		return &Fault{What: fmt.Sprintf("the ZIP archive holds %d files; at most %d are read", len(z.File), maxMembers)}
	}
	var behind, unpacked int64
	read := 0
	for _, m := range z.File {
		behind += int64(m.CompressedSize64)
		switch strings.ToLower(path.Ext(m.Name)) {
		case ".json", ".xml", ".csv", ".gz":
		default:
			continue // folders, licences, checksums
		}
		in, err := m.Open()
		if err != nil {
			return &Fault{File: clip(m.Name, 200), What: err.Error()}
		}
		count := &counting{r: in}
		err = Read(ctx, count, format, fn)
		in.Close()
		if unpacked += count.n; err == nil && unpacked > maxUnpack {
			err = &Fault{Byte: count.n, What: "the archive unpacks to more than 16 GiB"}
		}
		if err != nil {
			var fault *Fault
			if errors.As(err, &fault) && fault.File == "" {
				fault.File = clip(m.Name, 200)
			}
			return err
		}
		read++
		if done != nil {
			done(behind)
		}
	}
	if read == 0 {
		return &Fault{What: "the ZIP archive holds no .json, .xml or .csv file"}
	}
	return nil
}

// counting counts what is read.
type counting struct {
	r    io.Reader
	n    int64
	done func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.done != nil {
		c.done(c.n)
	}
	return n, err
}

// bounded ends with an error once more is read than is left.
type bounded struct {
	r    io.Reader
	left int64
	most int64
}

var errLong = fmt.Errorf("one vulnerability is longer than %d MiB", maxRecord>>20)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.most -= int64(n); b.most < 0 {
		return n, errors.New("the file unpacks to more than 16 GiB")
	}
	return n, err
}

// next gives the record to come its full length.
func (b *bounded) next() { b.left = maxRecord }

// Read reads vulnerabilities one after the other, plain or packed by gzip.
func Read(ctx context.Context, r io.Reader, format string, fn func(*Record) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return &Fault{What: "gzip: " + err.Error()}
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // a byte order mark
	}
	if format == Auto {
		if format = Detect(in); format == "" {
			return &Fault{What: "this is none of the known formats: NVD JSON 2.0, CNNVD or CNVD XML, OSV, CSAF 2.0, EPSS CSV, KEV JSON, Debian tracker JSON"}
		}
	}
	src := &bounded{r: in, left: maxRecord, most: maxUnpack}
	n := 0
	emit := func(rec *Record) error {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		src.next()
		rec.trim()
		return fn(rec)
	}
	var err error
	switch format {
	case FormatNVD:
		err = readNVD(src, emit)
	case FormatCNNVD:
		err = readXML(src, emit)
	case FormatOSV:
		err = readOSV(src, emit)
	case FormatCSAF:
		err = readCSAF(src, emit)
	case FormatEPSS:
		err = readEPSS(src, emit)
	case FormatKEV:
		err = readKEV(src, emit)
	case FormatDebian:
		err = readDebian(src, emit)
	default:
		return fmt.Errorf("%w: there is no format %q: %s", ErrInvalid, clip(format, 40), strings.Join(Formats, ", "))
	}
	if err == nil && n == 0 {
		err = &Fault{What: "the file holds no vulnerability"}
	}
	return err
}

// Detect tells the format by how a file begins; "" where it is none that is known.
func Detect(in *bufio.Reader) string {
	head, _ := in.Peek(16 << 10) // a shorter file is given with an error
	text := strings.TrimLeft(string(head), " \t\r\n")
	has := func(words ...string) bool {
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
	switch {
	case strings.HasPrefix(text, "<"):
		if has("<cnnvd") || has("<vulnerabilitys") || has("<vulnerabilities") {
			return FormatCNNVD
		}
		return ""
	case strings.HasPrefix(text, "#model_version") || strings.HasPrefix(text, "cve,epss"):
		return FormatEPSS
	case !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "["):
		return ""
	case has(`"format"`, `"NVD_CVE"`) || has(`"resultsPerPage"`):
		return FormatNVD
	case has(`"catalogVersion"`) || has(`"vulnerabilityName"`, `"dateAdded"`) || has(`"cveID"`):
		return FormatKEV
	case has(`"csaf_version"`) || has(`"document"`, `"tracking"`) || has(`"document"`, `"aggregate_severity"`):
		return FormatCSAF
	case has(`"schema_version"`) || has(`"affected"`) || has(`"modified"`, `"id"`):
		return FormatOSV
	case has(`"releases"`, `"status"`):
		return FormatDebian
	}
	return ""
}

// at makes an error one of a place in JSON.
func at(d *json.Decoder, id string, err error) error {
	var fault *Fault
	if err == nil || errors.As(err, &fault) || errors.Is(err, context.Canceled) {
		return err
	}
	f := &Fault{Byte: d.InputOffset(), ID: id, What: err.Error()}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		f.What = "this is not JSON: " + syntax.Error()
	case errors.As(err, &kind):
		f.What = fmt.Sprintf("%s is a %s where %s is expected", orThis(kind.Field), kind.Value, kind.Type)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.What = "the file ends in the middle"
	}
	return f
}

func orThis(field string) string {
	if field == "" {
		return "the value"
	}
	return field
}

// enter reads up to the elements of the array that a key of the outermost object
// holds, and tells of the other keys' values by name.
func enter(d *json.Decoder, array string, other func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("the file begins with %v where an object is expected", t)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if key == array {
			t, err := d.Token()
			if err != nil {
				return err
			}
			if t != json.Delim('[') {
				return fmt.Errorf("%s is no list", array)
			}
			return nil
		}
		if err := other(key); err != nil {
			return err
		}
	}
	return fmt.Errorf("the key %s, which holds the vulnerabilities, is missing", array)
}

// leave reads what follows the array that enter came to.
func leave(d *json.Decoder) error {
	if _, err := d.Token(); err != nil { // the array's end
		return err
	}
	for d.More() {
		if _, err := d.Token(); err != nil {
			return err
		}
		if err := skip(d); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	return ended(d)
}

// ended sees that nothing follows.
func ended(d *json.Decoder) error {
	switch t, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("%v follows the end of the document", t)
	}
}

func skip(d *json.Decoder) error {
	var raw json.RawMessage
	return d.Decode(&raw)
}

// clip cuts a text at a length in bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func cut[T any](list []T, n int) []T {
	if len(list) > n {
		return list[:n]
	}
	return list
}

// trim holds a record within bounds.
func (r *Record) trim() {
	r.Aliases, r.References, r.Products = cut(r.Aliases, maxList), cut(r.References, maxList), cut(r.Products, maxList)
	r.Affected, r.Weaknesses, r.Scores = cut(r.Affected, maxRanges), cut(r.Weaknesses, 50), cut(r.Scores, 20)
	for _, t := range []*detections.Text{&r.Title, &r.Text, &r.Solution, &r.Class} {
		t.ZH, t.EN = clean(t.ZH), clean(t.EN)
	}
}

// clean is a text without signs that SQL or a screen cannot keep.
func clean(s string) string {
	s = strings.ToValidUTF8(clip(strings.TrimSpace(s), maxText), "\uFFFD")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}
