package evidence

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/audit"
)

// The files of an archive beside those that it seals.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.sig.json"
	custodyFile   = "custody.ndjson"
	format        = "icewatch evidence 1"
)

// purpose is what the suite's key signs a manifest for.
const purpose = "evidence archive"

// Signer signs for the suite; audit.Log is one.
type Signer interface {
	Sign(purpose string, data []byte) audit.Signature
}

// File is a file of the archive that is not evidence: the incident as it
// stands, its alerts, a report.
type File struct {
	Path string
	Data []byte
}

// Manifest says what an archive holds.
type Manifest struct {
	Format   string    `json:"format"`
	Incident string    `json:"incident"`
	Tenant   string    `json:"tenant"`
	MadeAt   time.Time `json:"made_at"`
	MadeBy   string    `json:"made_by"`
	Version  string    `json:"version"` // of the suite
	Files    []Sealed  `json:"files"`   // all but manifest and signature, in the archive's order
	Custody  Head      `json:"custody"`
}

// Sealed is a file of an archive.
type Sealed struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Item   string `json:"item,omitempty"` // id of the evidence it is
}

// Head is the end of a chain of custody.
type Head struct {
	Entries int64  `json:"entries"`
	Hash    string `json:"hash"`
}

// Seal is what an archive is made of beside the evidence.
type Seal struct {
	Incident, Tenant, By, Version string
	Files                         []File
	Signer                        Signer
}

// Archive writes an incident's evidence, its chain of custody and the files of
// s as a ZIP with a signed manifest. That it does enters the chain first, so
// that the archive tells of itself. Evidence that was withdrawn is not in it.
func (l *Locker) Archive(ctx context.Context, w io.Writer, s Seal) error {
	fail := func(err error) error { return fmt.Errorf("evidence: seal %s: %w", s.Incident, err) }
	items, err := l.List(ctx, s.Incident)
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(it Item) bool { return it.WithdrawnAt != 0 })
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		text := detections.Text{ZH: fmt.Sprintf("导出封存档案（%d 件证据）", len(items)), EN: fmt.Sprintf("Exported as a sealed archive, with %d items of evidence", len(items))}
		return l.enter(ctx, tx, &Item{Incident: s.Incident}, s.By, ActionSealed, fmt.Sprintf("%d items", len(items)), text)
	})
	if err != nil {
		return fail(err)
	}
	chain, fault, err := l.Custody(ctx, s.Incident)
	if err != nil {
		return err
	}
	if fault != "" {
		return fail(fmt.Errorf("%w: the chain of custody: %s", ErrDamaged, fault))
	}
	m := Manifest{Format: format, Incident: s.Incident, Tenant: s.Tenant, MadeAt: l.now(), MadeBy: s.By, Version: s.Version,
		Custody: Head{Entries: int64(len(chain)), Hash: chain[len(chain)-1].Hash}}
	z := zip.NewWriter(w)
	add := func(path, item string, write func(w io.Writer) error) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: m.MadeAt})
		if err != nil {
			return err
		}
		h, n := sha256.New(), &counter{}
		if err := write(io.MultiWriter(f, h, n)); err != nil {
			return err
		}
		m.Files = append(m.Files, Sealed{Path: path, Size: n.n, SHA256: hex.EncodeToString(h.Sum(nil)), Item: item})
		return nil
	}
	whole := func(data []byte) func(w io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(data); return err }
	}
	for _, f := range s.Files {
		if err := add(f.Path, "", whole(f.Data)); err != nil {
			return fail(err)
		}
	}
	for i := range items {
		it := &items[i]
		if err := add("evidence/"+it.ID+"-"+it.Name, it.ID, func(w io.Writer) error { return l.copy(ctx, w, it) }); err != nil {
			return fail(err)
		}
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range chain {
		if err := enc.Encode(&chain[i]); err != nil {
			return fail(err)
		}
	}
	if err := add(custodyFile, "", whole(lines.Bytes())); err != nil {
		return fail(err)
	}
	manifest, err := json.MarshalIndent(&m, "", "  ")
	if err != nil {
		return fail(err)
	}
	signature, err := json.MarshalIndent(s.Signer.Sign(purpose, manifest), "", "  ")
	if err != nil {
		return fail(err)
	}
	for _, f := range []File{{manifestFile, manifest}, {signatureFile, signature}} {
		if err := add(f.Path, "", whole(f.Data)); err != nil {
			return fail(err)
		}
	}
	if err := z.Close(); err != nil {
		return fail(err)
	}
	return nil
}

type counter struct{ n int64 }

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }

// Report is what was found in an archive.
type Report struct {
	Manifest
	Key      string    `json:"key"` // the id of the key that signed
	SignedAt time.Time `json:"signed_at"`
	Bytes    int64     `json:"bytes"`
	Faults   []string  `json:"faults"` // empty: it is whole
}

// What of an archive is read into memory at most.
const (
	maxManifest = 16 << 20
	maxCustody  = 64 << 20
)

// Verify checks a sealed archive on its own: the signature over the manifest,
// every file against it, the chain of custody, and that each piece of evidence
// is what was added. key is the id of the key that must have signed; "" takes
// any. An error says that it is no such archive at all.
func Verify(r io.ReaderAt, size int64, key string) (Report, error) {
	out := Report{Faults: []string{}}
	fault := func(f string, args ...any) { out.Faults = append(out.Faults, fmt.Sprintf(f, args...)) }
	z, err := zip.NewReader(r, size)
	if err != nil {
		return out, fmt.Errorf("it is no ZIP archive: %w", err)
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		if files[f.Name] != nil {
			fault("%q is in it twice", f.Name)
		}
		files[f.Name] = f
	}
	manifest, err := slurp(files[manifestFile], maxManifest)
	if err != nil {
		return out, fmt.Errorf("%s: %w", manifestFile, err)
	}
	text, err := slurp(files[signatureFile], maxManifest)
	if err != nil {
		return out, fmt.Errorf("%s: %w", signatureFile, err)
	}
	var sig audit.Signature
	if err := json.Unmarshal(text, &sig); err != nil {
		return out, fmt.Errorf("%s: %w", signatureFile, err)
	}
	if err := json.Unmarshal(manifest, &out.Manifest); err != nil {
		return out, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if out.Format != format {
		return out, fmt.Errorf("%s: the format is %q, want %q", manifestFile, out.Format, format)
	}
	out.Key, out.SignedAt = sig.Key, sig.Time
	if err := sig.Check(purpose, manifest); err != nil {
		fault("%s: %s", manifestFile, err)
	}
	if key != "" && sig.Key != key {
		fault("it is signed by the key %s, want %s", sig.Key, key)
	}
	delete(files, manifestFile)
	delete(files, signatureFile)
	var custody bytes.Buffer
	for _, want := range out.Files {
		f := files[want.Path]
		if f == nil {
			fault("%q is missing", want.Path)
			continue
		}
		delete(files, want.Path)
		h, n := sha256.New(), &counter{}
		to := io.Writer(io.MultiWriter(h, n))
		if want.Path == custodyFile && want.Size <= maxCustody {
			to = io.MultiWriter(h, n, &custody)
		}
		if err := unpack(f, to, want.Size); err != nil {
			fault("%q: %s", want.Path, err)
			continue
		}
		out.Bytes += n.n
		if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 {
			fault("%q is not what was sealed: its SHA-256 is %s, want %s", want.Path, got, want.SHA256)
		}
	}
	for _, f := range z.File {
		if files[f.Name] != nil && !strings.HasSuffix(f.Name, "/") {
			fault("%q was not sealed", f.Name)
		}
	}
	out.checkCustody(custody.Bytes(), fault)
	return out, nil
}

// checkCustody verifies the chain and holds the evidence against it.
func (r *Report) checkCustody(lines []byte, fault func(f string, args ...any)) {
	var chain []Entry
	for dec := json.NewDecoder(bytes.NewReader(lines)); ; {
		var e Entry
		err := dec.Decode(&e)
		if err == io.EOF {
			break
		}
		if err != nil {
			fault("%s: entry %d: %s", custodyFile, len(chain)+1, err)
			return
		}
		chain = append(chain, e)
	}
	if f := checkChain(chain); f != "" {
		fault("%s: %s", custodyFile, f)
		return
	}
	head := Head{Entries: int64(len(chain))}
	added := map[string]string{}
	for _, e := range chain {
		head.Hash = e.Hash
		if e.Action == ActionAdded {
			added[e.Item] = e.SHA256
		}
		if e.Incident != r.Incident {
			fault("%s: entry %d is of the incident %q", custodyFile, e.N, e.Incident)
			return
		}
	}
	if head != r.Custody {
		fault("%s: it ends with entry %d and the hash %q, the manifest says %d and %q", custodyFile, head.Entries, head.Hash, r.Custody.Entries, r.Custody.Hash)
	}
	for _, f := range r.Files {
		if f.Item != "" && added[f.Item] != f.SHA256 {
			fault("%q: the chain of custody says of %s that %q was added, not %s", f.Path, f.Item, added[f.Item], f.SHA256)
		}
	}
}

func slurp(f *zip.File, limit int64) ([]byte, error) {
	if f == nil {
		return nil, fmt.Errorf("it is missing")
	}
	var b bytes.Buffer
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("it has %d bytes, at most %d", f.UncompressedSize64, limit)
	}
	err := unpack(f, &b, int64(f.UncompressedSize64))
	return b.Bytes(), err
}

// unpack writes a file of size bytes; one byte more or less is an error, so
// that a small archive cannot unpack without end.
func unpack(f *zip.File, w io.Writer, size int64) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("it has another size than the %d bytes that were sealed", size)
	}
	return nil
}
