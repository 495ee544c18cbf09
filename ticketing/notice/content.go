// Package notice keeps circulars and early warnings: what a city tells the units
// concerned of security events and threats. A notice is drafted, by a person or
// by a disposal rule, reviewed, approved by another person than who submitted
// it, and published; then each unit's reading and its answer are kept, and who
// may see what depends on whom it is for.
package notice

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"icewatch/detections"
)

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("notice: not found")
	ErrInvalid  = errors.New("notice: invalid")
	ErrConflict = errors.New("notice: conflict")
)

// Kinds of notices.
const (
	Circular = "circular" // asks the units for an answer by a time
	Warning  = "warning"
)

// States of a notice, in their order; ticketing/transition says who may move
// it.
const (
	Draft     = "draft"
	Review    = "review"
	Approved  = "approved"
	Published = "published"
	Closed    = "closed"
)

// Content is a notice as people write it.
type Content struct {
	Kind      string   `json:"kind" enum:"circular,warning"`
	Name      string   `json:"name" minLength:"1" maxLength:"200"`
	Level     string   `json:"level" enum:"critical,high,medium,low,informational"`
	Tags      []string `json:"tags,omitempty" maxItems:"20" nullable:"false"`
	Region    string   `json:"region,omitempty" maxLength:"100"`
	Body      []Block  `json:"body,omitempty" maxItems:"200" nullable:"false"`
	Tenants   []string `json:"tenants" maxItems:"1000" nullable:"false" doc:"Whom it is for"`
	Receivers []string `json:"receivers,omitempty" maxItems:"50" nullable:"false" doc:"Contact points that are told when it is published, beside those that are told of everything of the tenants"`
	Evidence  []Proof  `json:"evidence,omitempty" maxItems:"100" nullable:"false"`
	Due       int64    `json:"due,omitempty" minimum:"0" doc:"Until when the units answer a circular, Unix milliseconds"`
}

// Block is a part of a notice's text. It is data, never markup: readers render
// it, so that nothing in it runs.
type Block struct {
	Type  string     `json:"type" enum:"text,heading,link,image,table,code"`
	Runs  []Run      `json:"runs,omitempty" maxItems:"500" nullable:"false" doc:"Of text and heading"`
	URL   string     `json:"url,omitempty" maxLength:"2000" doc:"Of a link; http or https"`
	Text  string     `json:"text,omitempty" maxLength:"20000" doc:"Of a link or of code; what an image shows"`
	Image string     `json:"image,omitempty" maxLength:"2800000" doc:"data:image/png;base64,… or jpeg, gif, webp"`
	Rows  [][]string `json:"rows,omitempty" maxItems:"500" nullable:"false" doc:"Of a table; the first one is its head"`
}

// Run is a stretch of text of one look.
type Run struct {
	Text      string `json:"text" maxLength:"20000"`
	Size      int    `json:"size,omitempty" minimum:"8" maximum:"48" doc:"Points"`
	Color     string `json:"color,omitempty" pattern:"^#[0-9a-fA-F]{6}$"`
	Highlight string `json:"highlight,omitempty" pattern:"^#[0-9a-fA-F]{6}$"`
	Bold      bool   `json:"bold,omitempty"`
	Italic    bool   `json:"italic,omitempty"`
}

// Proof leads to what a notice goes by.
type Proof struct {
	Kind  string `json:"kind" enum:"alert,incident,asset,system,intelligence,log"`
	ID    string `json:"id" minLength:"1" maxLength:"2000" doc:"Id, of a log the query that finds it"`
	Title string `json:"title,omitempty" maxLength:"200"`
}

var (
	color      = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	picture    = regexp.MustCompile(`^data:image/(png|jpeg|gif|webp);base64,`)
	proofKinds = []string{"alert", "incident", "asset", "system", "intelligence", "log"}
)

// maxImages bounds the images of one notice, in bytes as they are written.
const maxImages = 8 << 20

func (c *Content) check() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	c.Name = strings.TrimSpace(c.Name)
	switch n := utf8.RuneCountInString(c.Name); {
	case n == 0 || n > 200:
		return invalid("name: %d characters, want 1 to 200", n)
	case c.Kind != Circular && c.Kind != Warning:
		return invalid("kind: %q: want circular or warning", c.Kind)
	case !slices.Contains(detections.Levels, detections.Level(c.Level)):
		return invalid("level: %q: want critical, high, medium, low or informational", c.Level)
	case len(c.Tenants) > 1000:
		return invalid("tenants: %d, at most 1000", len(c.Tenants))
	}
	for i, t := range c.Tags {
		if n := utf8.RuneCountInString(t); n == 0 || n > 40 {
			return invalid("tags[%d]: %d characters, want 1 to 40", i, n)
		}
	}
	for i, p := range c.Evidence {
		if !slices.Contains(proofKinds, p.Kind) || p.ID == "" {
			return invalid("evidence[%d]: want an id and one of the kinds %s", i, strings.Join(proofKinds, ", "))
		}
	}
	images := 0
	for i := range c.Body {
		if err := c.Body[i].check(); err != nil {
			return invalid("body[%d].%s", i, err)
		}
		images += len(c.Body[i].Image)
	}
	if images > maxImages {
		return invalid("body: %d bytes of images, at most %d", images, maxImages)
	}
	slices.Sort(c.Tenants)
	c.Tenants = slices.Compact(c.Tenants)
	return nil
}

func (b *Block) check() error {
	for i, r := range b.Runs {
		if r.Size != 0 && (r.Size < 8 || r.Size > 48) {
			return fmt.Errorf("runs[%d].size: %d, want 8 to 48", i, r.Size)
		}
		for _, v := range []string{r.Color, r.Highlight} {
			if v != "" && !color.MatchString(v) {
				return fmt.Errorf("runs[%d]: %q is no colour such as #c00000", i, v)
			}
		}
	}
	switch b.Type {
	case "text", "heading":
		if b.Text != "" {
			return fmt.Errorf(`text: what a %s says is in its runs, such as [{"text":"..."}]`, b.Type)
		}
	case "code":
		if len(b.Runs) > 0 {
			return errors.New("runs: what code says is its text")
		}
	case "link":
		if u, err := url.Parse(b.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("url: want an address of http or https")
		}
	case "image":
		head := picture.FindString(b.Image)
		if head == "" {
			return errors.New("image: want data:image/png;base64,… or jpeg, gif, webp")
		}
		if _, err := base64.StdEncoding.DecodeString(b.Image[len(head):]); err != nil {
			return errors.New("image: it is no base64")
		}
	case "table":
		for i, r := range b.Rows {
			if len(r) != len(b.Rows[0]) {
				return fmt.Errorf("rows[%d]: %d cells, want %d as the first row has", i, len(r), len(b.Rows[0]))
			}
		}
	default:
		return fmt.Errorf("type: %q: want text, heading, link, image, table or code", b.Type)
	}
	return nil
}

// Plain is a notice's text without looks, for messages.
func (c *Content) Plain() string {
	var out []string
	for _, b := range c.Body {
		switch b.Type {
		case "text", "heading":
			var line strings.Builder
			for _, r := range b.Runs {
				line.WriteString(r.Text)
			}
			out = append(out, line.String())
		case "link":
			out = append(out, strings.TrimSpace(b.Text+" "+b.URL))
		case "code":
			out = append(out, b.Text)
		case "image":
			out = append(out, "[图片 image] "+b.Text)
		case "table":
			for _, r := range b.Rows {
				out = append(out, strings.Join(r, " | "))
			}
		}
	}
	return strings.Join(out, "\n")
}
