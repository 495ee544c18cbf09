package collectors

import (
	"unicode/utf8"

	"icewatch/soc/intake"
)

// Marks that collectors put on records they had to alter.
const (
	MarkTruncated   = "truncated"    // the text was cut; Record.Aside names the whole, where it could be kept
	MarkAsideFailed = "aside_failed" // the whole text could not be kept aside
	MarkBadFraming  = "bad_framing"  // the bytes did not follow the framing of their stream
	MarkPartial     = "partial"      // the stream ended, or paused too long, within the text
)

// Fit makes a record's Data obey intake.MaxData: longer text is put aside
// whole under rec.Tenant, cut at a character boundary and marked. Text that
// cannot be put aside (no store, or it failed) is cut all the same and marked
// so. The error is the store's and is for the log alone: rec is always ready
// to be stored.
func Fit(aside intake.AsideStore, rec *intake.Record) error {
	if len(rec.Data) <= intake.MaxData {
		return nil
	}
	var err error
	// The full slice expression makes append copy: Marks may be shared.
	rec.Marks = append(rec.Marks[:len(rec.Marks):len(rec.Marks)], MarkTruncated)
	if aside == nil {
		rec.Marks = append(rec.Marks, MarkAsideFailed)
	} else if rec.Aside, err = aside.Put(rec.Tenant, rec.Data); err != nil {
		rec.Marks = append(rec.Marks, MarkAsideFailed)
		rec.Aside = ""
	}
	rec.Data = Cut(rec.Data, intake.MaxData)
	return err
}

// Cut returns the longest prefix of text of at most limit bytes that does not
// end within a UTF-8 character.
func Cut(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	end := limit
	for back := 0; back < utf8.UTFMax && end > 0 && !utf8.RuneStart(text[end]); back++ {
		end--
	}
	if !utf8.RuneStart(text[end]) {
		end = limit // Not UTF-8 at all: any place is as good.
	}
	return text[:end]
}
