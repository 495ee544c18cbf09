// Package filetail follows log files. It survives rotation by renaming, by
// copying and truncating, and by deleting and making anew, and it neither
// loses nor doubles a line across restarts and kills.
//
// Each content of a file is a stream with a random name. The stream, the
// file's identity (device, inode, hash of its first bytes) and the offset up
// to which lines have been acknowledged by the sink are kept in a position
// file. A record's ID is made of stream, offset and length, and the stream is
// on disk before its first record is sent: what is read again after a kill
// carries the same IDs, and the pipeline's deduplication drops it.
package filetail

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/textfile"
)

// Config is the configuration of a file collector.
type Config struct {
	ID      string   `yaml:"id" json:"-"` // unique name, stored as icewatch.collector
	Paths   []string `yaml:"paths" json:"paths" required:"true" minItems:"1" maxItems:"200" doc:"Files or globs (*, ?, [a-z]), with their full paths"`
	Exclude []string `yaml:"exclude" json:"exclude" maxItems:"200" doc:"Globs of full paths or base names to leave out"`
	Tenant  string   `yaml:"tenant" json:"-"`
	Zone    string   `yaml:"zone" json:"-"`
	Host    string   `yaml:"host" json:"host" maxLength:"253" doc:"host.name of lines that do not name one; this machine by default"`
	// PositionFile remembers how far each file has been read.
	PositionFile string `yaml:"position_file" json:"-"`
	// ReadFrom is "beginning" or "end": where to start in files that exist
	// when the collector starts for the first time.
	ReadFrom string `yaml:"read_from" json:"read_from" enum:"beginning,end" doc:"Where to start in files that are there at the first start"`
	// PollInterval is how often files and folders are looked at.
	PollInterval time.Duration `yaml:"poll_interval" json:"-"`
	// MaxLine bounds a line in bytes; what is longer is cut, and marked.
	MaxLine int `yaml:"max_line" json:"max_line" minimum:"1024" maximum:"268435456" doc:"Bytes of a line; what is longer is cut, and marked"`
	// Encoding is how the files' bytes are text. A byte order mark goes before
	// it. auto decides for each file by its first line with other characters than
	// ASCII, between UTF-8 and GB18030.
	Encoding string `yaml:"encoding" json:"encoding" enum:"auto,utf-8,gbk,gb18030,utf-16,utf-16le,utf-16be" doc:"Encoding of the files; a byte order mark goes before it. auto decides once a file, between UTF-8 and GB18030"`
	// Multiline matches the first line of an event; lines that it does not match
	// belong to the event before. Empty makes each line an event.
	Multiline string `yaml:"multiline" json:"multiline" maxLength:"1000" doc:"Regular expression of the first line of an event, such as ^\\d{4}-; lines that it does not match belong to the event before. Empty: each line is an event"`
	// MaxLines bounds the lines of an event; its bytes are bounded by MaxLine.
	MaxLines int `yaml:"max_lines" json:"max_lines" minimum:"1" maximum:"100000" doc:"Lines of an event of several; the next one begins another"`
	// MultilineSeconds is how long the last event of a file waits for more lines.
	MultilineSeconds int `yaml:"multiline_seconds" json:"multiline_seconds" minimum:"1" maximum:"3600" doc:"Seconds that the last event of a file waits for more lines"`
	// PartialTimeout takes a last line without a line end after that long; 0
	// waits for the line end.
	PartialTimeout time.Duration `yaml:"partial_timeout" json:"-"`
	// RotateWait is how long a file that was renamed or deleted is still
	// followed after its last growth.
	RotateWait time.Duration `yaml:"rotate_wait" json:"-"`
	// MaxFiles bounds the files followed at once.
	MaxFiles int `yaml:"max_files" json:"max_files" minimum:"1" maximum:"10000" doc:"Files followed at once"`
}

// NewFactory returns the factory of file collectors, "filetail".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type: "filetail",
		DefaultConfig: func() any {
			return &Config{ID: "filetail", ReadFrom: "beginning", PollInterval: 250 * time.Millisecond, MaxLine: 16 << 20,
				RotateWait: time.Minute, MaxFiles: 1000, Encoding: "utf-8", MaxLines: 500, MultilineSeconds: 5}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("filetail: configuration of a file collector expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: func(ctx context.Context, cfg any, _ collectors.Deps) (collectors.Trial, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return collectors.Trial{}, fmt.Errorf("filetail: configuration of a file collector expected, not %T", cfg)
			}
			return Try(ctx, *c)
		},
	}
}

func (c *Config) check() error {
	switch {
	case c.ID == "":
		return fmt.Errorf("filetail: a collector of %q has no id", c.Paths)
	case len(c.Paths) == 0:
		return fmt.Errorf("filetail: %s: no paths", c.ID)
	case c.PositionFile == "":
		return fmt.Errorf("filetail: %s: no position_file", c.ID)
	case c.ReadFrom != "beginning" && c.ReadFrom != "end":
		return fmt.Errorf("filetail: %s: read_from must be beginning or end, not %q", c.ID, c.ReadFrom)
	case c.PollInterval <= 0, c.RotateWait < 0, c.PartialTimeout < 0, c.MaxFiles <= 0, c.MaxLine < 1024, c.MaxLine > 256<<20:
		return fmt.Errorf("filetail: %s: poll_interval (%v) and max_files (%d) must be above 0, max_line (%d) between 1 KiB and 256 MiB",
			c.ID, c.PollInterval, c.MaxFiles, c.MaxLine)
	}
	if _, err := c.encoding(); err != nil {
		return fmt.Errorf("filetail: %s: %w", c.ID, err)
	}
	if _, err := regexp.Compile(c.Multiline); err != nil {
		return fmt.Errorf("filetail: %s: multiline: %q is no regular expression: %w", c.ID, c.Multiline, err)
	}
	if c.Multiline != "" && (c.MaxLines < 1 || c.MultilineSeconds < 1) {
		return fmt.Errorf("filetail: %s: max_lines (%d) and multiline_seconds (%d) must be above 0", c.ID, c.MaxLines, c.MultilineSeconds)
	}
	for _, list := range [][]string{c.Paths, c.Exclude} {
		for _, p := range list {
			if _, err := filepath.Match(p, "x"); err != nil {
				return fmt.Errorf("filetail: %s: glob %q: %w", c.ID, p, err)
			}
		}
	}
	return nil
}

// auto is the encoding that each file tells by itself.
const auto = "auto"

// encoding is the encoding stated; UTF-8 where none is, or each file tells it.
func (c *Config) encoding() (textfile.Encoding, error) {
	if c.Encoding == auto {
		return textfile.UTF8, nil
	}
	return textfile.Parse(c.Encoding)
}
