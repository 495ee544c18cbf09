package workshop

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"icewatch/soc/pipeline/pack"
)

// TestOf reads the samples of one pack. golden are the events that they become,
// as the pack's file of events has them; faults are what is wrong with the
// samples themselves.
func (w *Workshop) TestOf(id string) (golden []byte, faults []Fault, err error) {
	packs := w.set.Packs()
	at := slices.IndexFunc(packs, func(i pack.Info) bool { return i.ID == id })
	if at < 0 {
		return nil, nil, fmt.Errorf("workshop: no pack %s is in force", id)
	}
	src := slices.IndexFunc(w.sources, func(s pack.Source) bool { return s.Name == packs[at].Source })
	_, faults, err = w.test(packs[at], w.sources[src], func(_, _ string, data []byte) error {
		golden = data
		return nil
	})
	return golden, faults, err
}

// Text reads the files of a pack that is in force: its description, and its
// samples where it has some.
func (w *Workshop) Text(id string) (description, samples []byte, source string, err error) {
	packs := w.set.Packs()
	at := slices.IndexFunc(packs, func(i pack.Info) bool { return i.ID == id })
	if at < 0 {
		return nil, nil, "", fs.ErrNotExist
	}
	src := slices.IndexFunc(w.sources, func(s pack.Source) bool { return s.Name == packs[at].Source })
	if description, err = fs.ReadFile(w.sources[src].FS, path.Join(id, pack.File)); err != nil {
		return nil, nil, "", fmt.Errorf("workshop: read the pack %s: %w", id, err)
	}
	samples, _ = fs.ReadFile(w.sources[src].FS, path.Join(id, pack.Samples)) // it may have none
	return description, samples, packs[at].Source, nil
}

// Claim is that a pack takes samples of another.
type Claim struct {
	Pack  string `json:"pack" doc:"Whose samples they are"`
	Lines int    `json:"lines"`
	Line  string `json:"line" doc:"The first"`
}

// ClaimedBy lists the packs of whose samples one takes lines.
func (w *Workshop) ClaimedBy(id string) []Claim {
	var out []Claim
	for _, info := range w.set.Packs() {
		if info.ID == id {
			continue
		}
		src := slices.IndexFunc(w.sources, func(s pack.Source) bool { return s.Name == info.Source })
		text, err := fs.ReadFile(w.sources[src].FS, path.Join(info.ID, pack.Samples))
		if err != nil {
			continue // it has none
		}
		c := Claim{Pack: info.ID}
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				continue
			}
			if r := w.Read(line, At); r.Pack == id {
				if c.Lines++; c.Lines == 1 {
					c.Line = string(line)
				}
			}
		}
		if c.Lines > 0 {
			out = append(out, c)
		}
	}
	return out
}
