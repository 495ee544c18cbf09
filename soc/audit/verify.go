package audit

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// Where a Break lies.
const (
	PlaceRecord     = "record"     // at a record of the chain
	PlaceCheckpoint = "checkpoint" // in the signed checkpoints
	PlaceEnd        = "end"        // at the end of the chain
	PlaceIndex      = "index"      // in the database's indexes, by which records are found
)

// Break is a place at which the log is not what it was.
type Break struct {
	Place  string `json:"place" doc:"record, checkpoint, end or index"`
	Seq    int64  `json:"seq" doc:"The record, or the number of the checkpoint"`
	Reason string `json:"reason"`
}

// Error names the place and the reason.
func (b *Break) Error() string {
	what := "record"
	switch b.Place {
	case PlaceCheckpoint:
		what = "checkpoint"
	case PlaceIndex:
		return "the database's indexes: " + b.Reason
	}
	return fmt.Sprintf("%s %d: %s", what, b.Seq, b.Reason)
}

// Report is what a verification found.
type Report struct {
	OK             bool        `json:"ok"`
	Records        int64       `json:"records" doc:"Records whose place in the chain holds"`
	FirstSeq       int64       `json:"first_seq"`
	LastSeq        int64       `json:"last_seq"`
	Head           string      `json:"head" doc:"The hash of the last of them"`
	Checkpoints    int         `json:"checkpoints" doc:"Checkpoints whose signature holds"`
	LastCheckpoint *Checkpoint `json:"last_checkpoint,omitempty"`
	Keys           []Key       `json:"keys" doc:"Public keys that sign or signed"`
	Breaks         []Break     `json:"breaks" doc:"The first break of each place; empty where the log is whole"`
}

func (r *Report) broken(place string, seq int64, format string, args ...any) {
	for _, b := range r.Breaks {
		if b.Place == place {
			return
		}
	}
	r.Breaks = append(r.Breaks, Break{place, seq, fmt.Sprintf(format, args...)})
}

// Err returns the break of the first record, else any other; nil for a whole log.
func (r *Report) Err() error {
	for _, place := range []string{PlaceRecord, PlaceEnd, PlaceCheckpoint, PlaceIndex} {
		for i := range r.Breaks {
			if r.Breaks[i].Place == place {
				return &r.Breaks[i]
			}
		}
	}
	return nil
}

// walker follows a chain record by record and holds it against what was signed.
type walker struct {
	report *Report
	signed []Checkpoint // whose signatures hold, by Seq
	last   end
	broken bool
}

// anchor begins the chain after a record that is not there any more.
func (w *walker) anchor(seq int64, hash string) { w.last = end{seq, hash} }

// step takes the next record. After the first break it takes no more.
func (w *walker) step(r *row) {
	if w.broken {
		return
	}
	if why := r.follows(w.last.seq, w.last.hash); why != "" {
		w.broken = true
		w.report.broken(PlaceRecord, w.last.seq+1, "%s", why)
		return
	}
	for len(w.signed) > 0 && w.signed[0].Seq <= r.Seq {
		c := w.signed[0]
		w.signed = w.signed[1:]
		if c.Seq == r.Seq && c.Hash != r.Hash {
			w.broken = true
			w.report.broken(PlaceRecord, r.Seq, "its chain was hashed anew: checkpoint %d of %s signed another hash", c.N, c.Time.Format(time.RFC3339))
			return
		}
	}
	if w.report.Records == 0 {
		w.report.FirstSeq = r.Seq
	}
	w.last = end{r.Seq, r.Hash}
	w.report.Records++
	w.report.LastSeq, w.report.Head = r.Seq, r.Hash
}

// end holds the end of the chain against what was signed.
func (w *walker) end(head *Checkpoint) {
	if w.broken {
		return
	}
	top := head
	for i := range w.signed { // those beyond the last record
		if c := &w.signed[i]; top == nil || c.Seq > top.Seq {
			top = c
		}
	}
	switch {
	case top == nil && w.last.seq > 0:
		w.report.broken(PlaceEnd, w.last.seq, "nothing signed covers it: the signed head is missing")
	case top == nil:
	case top.Seq > w.last.seq:
		w.report.broken(PlaceEnd, w.last.seq+1, "it is missing: records up to %d were signed at %s", top.Seq, top.Time.Format(time.RFC3339))
	case top.Seq < w.last.seq:
		w.report.broken(PlaceEnd, top.Seq+1, "it was not written by this log: the signed head is record %d", top.Seq)
	case top.Hash != w.last.hash:
		w.report.broken(PlaceRecord, w.last.seq, "its chain was hashed anew: the signed head has another hash")
	}
}

// checkpoints holds the lists of SQL and of the file, both by number, against
// each other and returns those whose signatures hold, by Seq.
func (r *Report) checkpoints(ring keyring, stored, filed []Checkpoint) []Checkpoint {
	merged := map[int64]Checkpoint{}
	for i, list := range [][]Checkpoint{stored, filed} {
		where := [...]string{"the database", "the file beside it"}[i]
		next := keptFrom(list)
		for _, c := range list {
			if c.N > next {
				r.broken(PlaceCheckpoint, next, "it is missing in %s, where %d follows", where, c.N)
			}
			next = max(next, c.N+1)
			if why := ring.check(&c); why != "" {
				r.broken(PlaceCheckpoint, c.N, "%s (in %s)", why, where)
				continue
			}
			if c.Kind == checkBreak {
				r.broken(PlaceCheckpoint, c.N, "at %s the log was found broken: %s", c.Time.Format(time.RFC3339), c.Note)
			}
			if other, twice := merged[c.N]; twice && other.Signature != c.Signature {
				r.broken(PlaceCheckpoint, c.N, "database and file hold different ones")
			}
			merged[c.N] = c
		}
	}
	tail := func(list []Checkpoint) int64 {
		if len(list) == 0 {
			return 0
		}
		return list[len(list)-1].N
	}
	switch s, f := tail(stored), tail(filed); {
	case s > f:
		r.broken(PlaceCheckpoint, f+1, "it is missing at the end of the file beside the database")
	case f > s:
		r.broken(PlaceCheckpoint, s+1, "it is missing at the end of the database's list")
	}
	return r.bySeq(merged)
}

func (r *Report) bySeq(valid map[int64]Checkpoint) []Checkpoint {
	out := make([]Checkpoint, 0, len(valid))
	for _, c := range valid {
		if r.LastCheckpoint == nil || c.N > r.LastCheckpoint.N {
			r.LastCheckpoint = &c
		}
		out = append(out, c)
	}
	r.Checkpoints = len(out)
	slices.SortFunc(out, func(a, b Checkpoint) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Verify walks the whole chain and holds it against the signed head, the
// checkpoints in SQL and those in the file. What it finds is in the report; an
// error says that it could not look.
func (l *Log) Verify(ctx context.Context) (Report, error) {
	report := Report{Keys: slices.Clone(l.sign.keys), Breaks: []Break{}}
	// The file and the moment of the database must fit each other.
	l.marks.Lock()
	known := l.head.Load()
	var line *lineError
	filed, err := readLines[Checkpoint](l.sign.path())
	var tx bun.Tx
	if errors.As(err, &line) {
		report.broken(PlaceCheckpoint, int64(len(filed)+1), "line %d of the file beside the database cannot be read: %v", line.line, line.err)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil || line != nil {
		tx, err = l.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err == nil {
			// The snapshot is taken by the first read.
			_, err = tx.ExecContext(ctx, "SELECT 1 FROM audit_records LIMIT 1")
		}
	}
	l.marks.Unlock()
	if err != nil {
		return report, fmt.Errorf("audit: verify: %w", err)
	}
	defer func() { _ = tx.Rollback() }()

	stored, err := checkpointsIn(ctx, tx, 0)
	if err != nil {
		return report, err
	}
	signed := report.checkpoints(l.sign.ring, stored, filed)
	head, err := headIn(ctx, tx)
	if err != nil {
		return report, err
	}
	if head != nil {
		if why := l.sign.ring.check(head); why != "" {
			report.broken(PlaceEnd, head.Seq, "the signed head: %s", why)
			head = nil
		}
	}
	if known != nil && (head == nil || head.Seq < known.Seq) {
		// The database was put back behind the running log's back.
		head = known
	}
	w := &walker{report: &report, signed: signed}
	// After retention the chain begins at the last anchor.
	for i := len(signed) - 1; i >= 0; i-- {
		if signed[i].Kind == checkAnchor {
			w.anchor(signed[i].Seq, signed[i].Hash)
			break
		}
	}
	for !w.broken {
		rows, err := rowsAfter(ctx, tx, w.last.seq, 1000)
		if err != nil && ctx.Err() != nil {
			return report, err
		}
		if err != nil {
			// Bytes of the file that make no record any more.
			w.broken = true
			report.broken(PlaceRecord, w.last.seq+1, "it, or one shortly after it, cannot be read: %v", err)
			break
		}
		if len(rows) == 0 {
			break
		}
		for i := range rows {
			w.step(&rows[i])
		}
	}
	w.end(head)
	// A record may be whole and yet be kept from every list, by an index.
	var state string
	switch err := tx.QueryRowContext(ctx, "PRAGMA integrity_check(audit_records)").Scan(&state); {
	case ctx.Err() != nil:
		return report, fmt.Errorf("audit: verify: %w", ctx.Err())
	case err != nil:
		report.broken(PlaceIndex, 0, "%v", err)
	case state != "ok":
		report.broken(PlaceIndex, 0, "%s", state)
	}
	report.OK = len(report.Breaks) == 0
	return report, nil
}

// Check verifies and puts a break into the log itself, so that it is forwarded
// and can raise an alert.
func (l *Log) Check(ctx context.Context) (Report, error) {
	report, err := l.Verify(ctx)
	if err != nil {
		return report, err
	}
	if why := report.Err(); why != nil {
		l.log.Error("the audit log is broken", "reason", why)
		l.Note(Record{Kind: KindSystem, Actor: systemActor, Action: "verify-audit", Object: "audit", Result: Failed, Address: "local", Detail: why.Error()})
	}
	return report, nil
}

// maxLine bounds a line of an export in bytes.
const maxLine = 1 << 20

// VerifyExport reads what Export wrote and verifies it without the suite.
// pinned, where not empty, is the id of the key that must have signed: the
// export itself cannot prove whose keys it brings.
func VerifyExport(r io.Reader, pinned string) (Report, error) {
	report := Report{Keys: []Key{}, Breaks: []Break{}}
	br := bufio.NewReaderSize(r, 64<<10)
	sc := bufio.NewScanner(br)
	sc.Buffer(nil, maxLine)
	var (
		ring   keyring
		header exportHeader
		final  *Checkpoint
		w      = &walker{report: &report}
		valid  = map[int64]Checkpoint{}
		n      int
		sum    = sha256.New()
	)
	bad := func(format string, args ...any) error {
		return fmt.Errorf("audit: line %d of the export: %s", n, fmt.Sprintf(format, args...))
	}
	for sc.Scan() {
		n++
		var line exportLine
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			return report, bad("%v", err)
		}
		switch {
		case final != nil:
			return report, bad("something follows the end")
		case n == 1:
			if line.Header == nil || line.Header.Format != exportFormat {
				return report, bad("want the header of %q", exportFormat)
			}
			header = *line.Header
			var err error
			if ring, err = ringOf(header.Keys); err != nil {
				return report, bad("%v", err)
			}
			report.Keys = header.Keys
			w.anchor(header.After, header.Hash)
		case line.Record != nil:
			r := rowOf(line.Record)
			w.step(&r)
		case line.Checkpoint != nil:
			c := *line.Checkpoint
			if why := ring.check(&c); why != "" {
				report.broken(PlaceCheckpoint, c.N, "%s", why)
				continue
			}
			if pinned != "" && c.Key != pinned {
				report.broken(PlaceCheckpoint, c.N, "it is signed by the key %s, not by %s", c.Key, pinned)
			}
			if c.Kind == checkBreak {
				report.broken(PlaceCheckpoint, c.N, "at %s the log was found broken: %s", c.Time.Format(time.RFC3339), c.Note)
			}
			// It stands right after its record.
			if !w.broken && c.Seq == w.last.seq && c.Hash != w.last.hash {
				w.broken = true
				report.broken(PlaceRecord, c.Seq, "its chain was hashed anew: checkpoint %d of %s signed another hash", c.N, c.Time.Format(time.RFC3339))
			}
			valid[c.N] = c
		case line.End != nil:
			final = line.End
			continue
		default:
			return report, bad("it is neither record nor checkpoint nor end")
		}
		sum.Write(sc.Bytes())
		sum.Write([]byte{'\n'})
	}
	if err := sc.Err(); err != nil {
		return report, bad("%v", err)
	}
	if n == 0 {
		return report, errors.New("audit: the export is empty")
	}
	report.bySeq(valid)
	switch {
	case final == nil:
		report.broken(PlaceEnd, w.last.seq+1, "the export ends without its signed end: it was cut off")
	case final.Kind != checkExport:
		report.broken(PlaceEnd, final.Seq, "the end is signed as %q, not as the end of an export", final.Kind)
	case pinned != "" && final.Key != pinned:
		report.broken(PlaceEnd, final.Seq, "the end is signed by the key %s, not by %s", final.Key, pinned)
	case ring.check(final) != "":
		report.broken(PlaceEnd, final.Seq, "the signed end: %s", ring.check(final))
	case !w.broken && final.Note != exportNote(sum):
		report.broken(PlaceEnd, final.Seq, "lines were added, removed or changed: their sum is not the signed one")
	default:
		w.end(final)
	}
	report.OK = len(report.Breaks) == 0
	return report, nil
}
