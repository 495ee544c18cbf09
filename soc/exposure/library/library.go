// Package library is the knowledge of vulnerabilities: what each is called (CVE,
// CNNVD, CNVD and other ids), how bad it is, what is affected, what helps, how
// likely it is to be exploited and whether it is.
//
// It is filled offline from files as their makers publish them: NVD JSON 2.0,
// CNNVD and CNVD XML, OSV, CSAF 2.0, EPSS CSV, CISA's KEV JSON and the Debian
// security tracker's JSON. What each source says of a vulnerability is kept by
// itself; what is shown is put together from all of them, so that files may come
// in any order and again.
package library

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/cmdb"
	"icewatch/detections"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

var (
	// ErrNotFound says that the library knows no such vulnerability or import.
	ErrNotFound = errors.New("library: there is no such vulnerability or import")
	// ErrInvalid says that a question or an upload makes no sense.
	ErrInvalid = errors.New("library: invalid")
	// ErrBusy says that too many imports wait.
	ErrBusy = errors.New("library: too many imports wait; try again when one has ended")
)

// The sources, as records and answers name them.
const (
	NVD    = "nvd"
	CNNVD  = "cnnvd"
	CNVD   = "cnvd"
	OSV    = "osv"
	CSAF   = "csaf"
	EPSS   = "epss"
	KEV    = "kev"
	Debian = "debian"
)

// VulnReference is where more is written.
type VulnReference struct {
	URL  string `json:"url"`
	Kind string `json:"kind,omitempty" doc:"As the source has it, such as patch, vendor advisory, exploit"`
}

// CVSSScore is one rating by CVSS.
type CVSSScore struct {
	Version string  `json:"version" doc:"Of CVSS: 2.0, 3.0, 3.1 or 4.0"`
	Score   float64 `json:"score" doc:"Base score, 0 to 10; 0 with a vector where the source gives none"`
	Vector  string  `json:"vector,omitempty"`
	By      string  `json:"by,omitempty" doc:"Who rated"`
}

// KnownExploited says that attackers use a vulnerability, by CISA's catalogue.
type KnownExploited struct {
	Since      string          `json:"since,omitempty" doc:"Day on which it came into the catalogue"`
	Due        string          `json:"due,omitempty" doc:"Day by which the catalogue demands the repair"`
	Ransomware bool            `json:"ransomware,omitempty" doc:"Known to be used by ransomware"`
	Action     detections.Text `json:"action,omitzero"`
}

// ExploitLikelihood is EPSS: how likely exploitation is within thirty days.
type ExploitLikelihood struct {
	Score      float64 `json:"score" doc:"0 to 1"`
	Percentile float64 `json:"percentile" doc:"Share of all vulnerabilities that are at most as likely, 0 to 1"`
	Day        string  `json:"day,omitempty" doc:"Day of the model's run"`
}

// VersionRange is versions from one on (included) to another. Empty bounds are open.
type VersionRange struct {
	From  string `json:"from,omitempty"`
	After string `json:"after,omitempty" doc:"In place of from: excluded"`
	Fixed string `json:"fixed,omitempty" doc:"First version that is not affected"`
	Last  string `json:"last,omitempty" doc:"In place of fixed: last affected version"`
}

// The states of a package in a distribution's own data.
const (
	StatusOpen         = "open"         // affected, and no repair is out
	StatusNotAffected  = "not-affected" // the distribution says that it is not affected
	StatusUndetermined = "undetermined" // the distribution has not decided
)

// AffectedPackage is which versions of a package, by its ecosystem, are affected.
type AffectedPackage struct {
	// Ecosystem is OSV's, such as Debian:12, Alpine:v3.19, Rocky Linux:9, npm;
	// "cpe" for products by CPE.
	Ecosystem string         `json:"ecosystem"`
	Package   string         `json:"package" doc:"Source package of a distribution; vendor:product by CPE"`
	Status    string         `json:"status,omitempty" enum:"open,not-affected,undetermined" doc:"Beside ranges, what the distribution decided"`
	Ranges    []VersionRange `json:"ranges,omitempty"`
	Versions  []string       `json:"versions,omitempty" doc:"Single affected versions"`
	Note      string         `json:"note,omitempty" doc:"Such as the distribution's urgency"`
}

// Record is what one source says of one vulnerability.
type Record struct {
	ID         string             `json:"id"`         // the CVE id where there is one
	Aliases    []string           `json:"aliases"`    // other ids, without ID
	Source     string             `json:"source"`     // one of the sources
	Ref        string             `json:"ref"`        // the source's own id of what it says
	Title      detections.Text    `json:"title"`      // short
	Text       detections.Text    `json:"text"`       // description
	Solution   detections.Text    `json:"solution"`   //
	Class      detections.Text    `json:"class"`      // kind of weakness, as the source names it
	Level      string             `json:"level"`      // of the source itself, where it has one
	Scores     []CVSSScore        `json:"scores"`     //
	Weaknesses []string           `json:"weaknesses"` // CWE ids
	References []VulnReference    `json:"references"` //
	Products   []string           `json:"products"`   // in words
	Affected   []AffectedPackage  `json:"affected"`   //
	Published  time.Time          `json:"published"`  //
	Modified   time.Time          `json:"modified"`   //
	Withdrawn  bool               `json:"withdrawn"`  // rejected or taken back
	Exploited  *KnownExploited    `json:"exploited"`  //
	Likelihood *ExploitLikelihood `json:"epss"`       // of the source EPSS alone, which says nothing else
}

// Options of Open.
type Options struct {
	Dir   string // where uploads are kept until they are imported
	Log   *slog.Logger
	Clock func() time.Time
}

// Library keeps the vulnerabilities. It is safe for concurrent use. Run does the
// imports.
type Library struct {
	db  *cmdb.Database
	opt Options

	pack   *zstd.Encoder
	unpack *zstd.Decoder

	mu     sync.Mutex
	cancel map[string]context.CancelFunc // of the import that runs
	wake   chan struct{}
	writes sync.Mutex // one piece of an upload at a time
}

// Open brings the tables up to date. The vulnerabilities are kept beside the
// CMDB's items.
func Open(ctx context.Context, db *cmdb.Database, opt Options) (*Library, error) {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if err := db.Migrate(ctx, "exposure_library", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("library: %w", err)
	}
	l := &Library{db: db, opt: opt, cancel: map[string]context.CancelFunc{}, wake: make(chan struct{}, 1)}
	var err error
	if l.pack, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20)); err != nil {
		return nil, fmt.Errorf("library: %w", err)
	}
	if l.unpack, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxRecord)); err != nil {
		return nil, fmt.Errorf("library: %w", err)
	}
	return l, nil
}

func (l *Library) now() time.Time { return l.opt.Clock().UTC().Truncate(time.Millisecond) }

// LevelOf is the level of a CVSS base score, "" of 0.
func LevelOf(score float64) detections.Level {
	switch {
	case score >= 9:
		return detections.Critical
	case score >= 7:
		return detections.High
	case score >= 4:
		return detections.Medium
	case score > 0:
		return detections.Low
	}
	return ""
}

// levelWords are how sources name levels.
var levelWords = map[string]detections.Level{
	"超危": detections.Critical, "严重": detections.Critical, "危急": detections.Critical, "critical": detections.Critical,
	"高危": detections.High, "高": detections.High, "high": detections.High, "important": detections.High,
	"中危": detections.Medium, "中": detections.Medium, "medium": detections.Medium, "moderate": detections.Medium,
	"低危": detections.Low, "低": detections.Low, "low": detections.Low, "minor": detections.Low, "negligible": detections.Low, "unimportant": detections.Low,
}

// rank is a level's place from the least on, 0 where it is not known.
func rank(l detections.Level) int { return slices.Index(detections.Levels, l) + 1 }
