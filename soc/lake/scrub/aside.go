package scrub

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"icewatch/soc/condition"
	"icewatch/soc/damage"
)

// SetAside moves what was found out of the lake, each with a note, and takes
// it from the lists of parts; it puts copies back where there are any. The
// store must be closed. A crash half-way leaves something that the next Quick
// finds again.
func (s *Store) SetAside(findings []Finding) ([]Finding, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	folder, err := damage.New(s.Damaged, "lake")
	if err != nil {
		return nil, err
	}
	// The note comes first: without it nobody knows what the files are.
	folder.Note.Text, folder.Note.Items = s.say(findings, folder.Path)
	if err := folder.Save(); err != nil {
		return nil, err
	}
	findings = slices.Clone(findings)
	done := map[string]bool{}
	for i := range findings {
		f := &findings[i]
		if done[f.Path+"\x00"+f.File] {
			continue
		}
		done[f.Path+"\x00"+f.File] = true
		if err := s.setAside(folder, f); err != nil {
			return findings, err
		}
		s.Log.Error("scrub: damage in the lake is set aside", "path", f.Path, "file", f.File, "why", f.Why, "rows", f.Rows,
			"from", f.From, "to", f.To, "mended", f.Mended, "folder", folder.Path)
	}
	folder.Note.Text, folder.Note.Items = s.say(findings, folder.Path)
	if !slices.ContainsFunc(findings, func(f Finding) bool { return !f.Mended }) {
		folder.Note.Severity = condition.Medium
	}
	return findings, folder.Save()
}

func (s *Store) setAside(folder *damage.Folder, f *Finding) error {
	path := filepath.Join(s.Dir, f.Path)
	if filepath.Base(filepath.Dir(f.Path)) == partitions {
		return folder.Move(path, f.Path) // a partition of a strange name
	}
	if base := filepath.Base(f.Path); base == dataTable || base == indexTable {
		t := table{f.Path, base == dataTable}
		if f.File == partsFile {
			return s.relist(folder, t, f)
		}
		return s.remakeIndex(t, f) // the index of a partition is missing
	}
	t, part := split(f.Path)
	if f.File == metadataFile {
		// All else is as it was: the copy of the small file mends the part.
		known := s.readLedger(t).Parts[part]
		if known != nil && len(known.Metadata) > 0 {
			if _, err := os.Stat(filepath.Join(path, metadataFile)); err == nil {
				if err := folder.Move(filepath.Join(path, metadataFile), filepath.Join(f.Path, metadataFile)); err != nil {
					return err
				}
			}
			if err := replace(filepath.Join(path, metadataFile), known.Metadata); err != nil {
				return err
			}
			if again := s.checkPart(t, part, known, -1, func(int) error { return nil }); again == nil {
				f.Mended = true
				return nil
			}
		}
	}
	names, err := s.listed(t)
	if err != nil {
		return fmt.Errorf("scrub: %s: %w", t.path, err)
	}
	if _, err := os.Stat(path); err == nil {
		if err := folder.Move(path, f.Path); err != nil {
			return err
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == part })
	if !t.data {
		back, err := s.putBack(t)
		if err != nil {
			return err
		}
		for _, n := range back {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
			f.Mended = f.Mended || n == part
		}
	}
	return s.writeList(t, names)
}

// writeList replaces a table's list of parts.
func (s *Store) writeList(t table, names []string) error {
	if names == nil {
		names = []string{}
	}
	slices.Sort(names)
	raw, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return replace(filepath.Join(s.Dir, t.path, partsFile), raw)
}

// relist makes the list of parts anew from the folders that are whole. The
// library removes the sources of a merge right after it has listed the result:
// only where it died between the two as well would events be listed twice.
func (s *Store) relist(folder *damage.Folder, t table, f *Finding) error {
	file := filepath.Join(s.Dir, t.path, partsFile)
	if _, err := os.Stat(file); err == nil {
		if err := folder.Move(file, filepath.Join(t.path, partsFile)); err != nil {
			return err
		}
	}
	l := s.readLedger(t)
	var names []string
	for _, part := range s.folders(t) {
		if s.checkPart(t, part, l.Parts[part], smallFile, func(int) error { return nil }) == nil {
			names = append(names, part)
		} else if err := folder.Move(filepath.Join(s.Dir, t.path, part), filepath.Join(t.path, part)); err != nil {
			return err
		}
	}
	f.Mended = true
	return s.writeList(t, names)
}

// remakeIndex makes the table of an index anew from its copies.
func (s *Store) remakeIndex(t table, f *Finding) error {
	if err := os.MkdirAll(filepath.Join(s.Dir, t.path), 0o700); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	back, err := s.putBack(t)
	if err != nil {
		return err
	}
	f.Mended = len(back) > 0
	return s.writeList(t, back)
}

// putBack copies the kept parts of an index into its table, but for those that
// are there, and names them. They may be older than what is there: an index is
// a set, and says nothing twice.
func (s *Store) putBack(t table) ([]string, error) {
	entries, err := os.ReadDir(s.copyPath(t, ""))
	if err != nil {
		return nil, nil
	}
	l := s.readLedger(t)
	var names []string
	for _, e := range entries {
		part := e.Name()
		to := filepath.Join(s.Dir, t.path, part)
		if !partName(part) || l.Parts[part] == nil {
			continue
		}
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := copyFolder(s.copyPath(t, part), to); err != nil {
			return names, err
		}
		if bad := s.checkPart(t, part, l.Parts[part], -1, func(int) error { return nil }); bad != nil {
			s.Log.Error("scrub: the copy of a part of the index is damaged too", "part", filepath.Join(t.path, part), "why", bad.Why)
			if err := os.RemoveAll(to); err != nil {
				return names, fmt.Errorf("scrub: %w", err)
			}
			continue
		}
		names = append(names, part)
	}
	return names, nil
}

// say puts findings into words.
func (s *Store) say(findings []Finding, folder string) (condition.Text, []damage.Item) {
	items := make([]damage.Item, len(findings))
	var rows uint64
	var from, to time.Time
	mended, index := 0, false
	for i, f := range findings {
		it := damage.Item{Path: f.Path, File: f.File, Why: f.Why, Kept: f.Path, Mended: f.Mended, From: f.From, To: f.To}
		if f.Mended {
			mended++
		} else {
			it.Lost = f.Rows
			rows += f.Rows
			index = index || filepath.Base(filepath.Dir(f.Path)) == indexTable || filepath.Base(f.Path) == indexTable
			if !f.From.IsZero() && (from.IsZero() || f.From.Before(from)) {
				from = f.From
			}
			if f.To.After(to) {
				to = f.To
			}
		}
		items[i] = it
	}
	first := findings[0].String()
	text := condition.Text{
		ZH: fmt.Sprintf("日志库中有 %d 处损坏，已隔离到 %s；首个：%s。", len(findings), folder, first),
		EN: fmt.Sprintf("%d places in the lake were damaged and are set aside in %s; the first: %s.", len(findings), folder, first),
	}
	if mended > 0 {
		text.ZH += fmt.Sprintf("其中 %d 处已用副本修复。", mended)
		text.EN += fmt.Sprintf(" %d of them were mended from copies.", mended)
	}
	if rows > 0 {
		text.ZH += fmt.Sprintf("涉及 %d 条事件，时间从 %s 到 %s；仍在总线上的会自动补回，其余请从备份恢复。", rows, from.Format(time.RFC3339), to.Format(time.RFC3339))
		text.EN += fmt.Sprintf(" They held %d events with times from %s to %s; those still on the bus are put back by themselves, the others only a restore can bring.", rows, from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	if index {
		text.ZH += "当日部分日志流的索引缺失：若其后没有新事件写入同一日志流，该流当日的事件可能搜不到。"
		text.EN += " A part of a day's index is gone for which there was no copy: events of that day whose stream brings nothing new may not be found."
	}
	return text, items
}
