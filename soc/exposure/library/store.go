package library

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

type vulnRow struct {
	bun.BaseModel `bun:"table:exposure_vulnerabilities,alias:v"`
	ID            string  `bun:"id,pk"`
	Level         int     `bun:"level"`
	Score         int     `bun:"score"`
	EPSS          float64 `bun:"epss"`
	Exploited     int     `bun:"exploited"`
	Rejected      int     `bun:"rejected"`
	Published     int64   `bun:"published"`
	Modified      int64   `bun:"modified"`
	Line          string  `bun:"line"`
	Words         string  `bun:"words"`
}

type recordRow struct {
	bun.BaseModel `bun:"table:exposure_vulnerability_records,alias:r"`
	Vulnerability string `bun:"vulnerability,pk"`
	Source        string `bun:"source,pk"`
	Ref           string `bun:"ref,pk"`
	Doc           []byte `bun:"doc"`
}

type aliasRow struct {
	bun.BaseModel `bun:"table:exposure_vulnerability_aliases,alias:a"`
	Alias         string `bun:"alias,pk"`
	Vulnerability string `bun:"vulnerability,pk"`
}

type epssRow struct {
	bun.BaseModel `bun:"table:exposure_epss,alias:e"`
	ID            string  `bun:"id,pk"`
	Score         float64 `bun:"score"`
	Percentile    float64 `bun:"percentile"`
	Day           string  `bun:"day"`
}

type affectedRow struct {
	bun.BaseModel `bun:"table:exposure_affected,alias:f"`
	Ecosystem     string `bun:"ecosystem"`
	Package       string `bun:"package"`
	Vulnerability string `bun:"vulnerability"`
	Source        string `bun:"source"`
	Ref           string `bun:"ref"`
	Doc           string `bun:"doc"`
}

// write keeps records and puts the vulnerabilities they are of together again. It
// returns how many of these are new.
func (l *Library) write(ctx context.Context, tx bun.Tx, recs []*Record) (added int, err error) {
	stale := map[string]bool{}
	var likely []epssRow
	kept := map[string]*Record{}
	for _, r := range recs {
		if r.Source == EPSS {
			likely = append(likely, epssRow{ID: r.ID, Score: r.Likelihood.Score, Percentile: r.Likelihood.Percentile, Day: r.Likelihood.Day})
			continue
		}
		kept[r.ID+"\x00"+r.Source+"\x00"+r.Ref] = r // the last of a batch counts
	}
	if err := l.writeEPSS(ctx, tx, likely); err != nil {
		return 0, err
	}
	if len(kept) == 0 {
		return 0, nil
	}
	rows := make([]recordRow, 0, len(kept))
	var affected []affectedRow
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		r := kept[key]
		doc, err := json.Marshal(r)
		if err != nil {
			return 0, err
		}
		rows = append(rows, recordRow{Vulnerability: r.ID, Source: r.Source, Ref: r.Ref, Doc: l.pack.EncodeAll(doc, nil)})
		stale[r.ID] = true
		for i := range r.Affected {
			a := &r.Affected[i]
			doc, err := json.Marshal(a)
			if err != nil {
				return 0, err
			}
			affected = append(affected, affectedRow{Ecosystem: a.Ecosystem, Package: a.Package, Vulnerability: r.ID, Source: r.Source, Ref: r.Ref, Doc: string(doc)})
		}
	}
	ids := slices.Sorted(maps.Keys(stale))
	// A source that knew a vulnerability by its own id and now knows its CVE.
	if err := l.moved(ctx, tx, rows, stale); err != nil {
		return 0, err
	}
	for part := range slices.Chunk(rows, 200) {
		if _, err := tx.NewInsert().Model(&part).On("CONFLICT (vulnerability, source, ref) DO UPDATE").Set("doc = EXCLUDED.doc").Exec(ctx); err != nil {
			return 0, fmt.Errorf("library: keep records: %w", err)
		}
		where := make([]string, len(part))
		args := make([]any, 0, 3*len(part))
		for i := range part {
			where[i] = "(vulnerability = ? AND source = ? AND ref = ?)"
			args = append(args, part[i].Vulnerability, part[i].Source, part[i].Ref)
		}
		if _, err := tx.NewDelete().Table("exposure_affected").Where(strings.Join(where, " OR "), args...).Exec(ctx); err != nil {
			return 0, fmt.Errorf("library: forget what was affected: %w", err)
		}
	}
	for part := range slices.Chunk(affected, 500) {
		if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
			return 0, fmt.Errorf("library: keep what is affected: %w", err)
		}
	}
	var had int
	for part := range slices.Chunk(ids, 500) {
		n, err := tx.NewSelect().Model((*vulnRow)(nil)).Where("v.id IN (?)", bun.In(part)).Count(ctx)
		if err != nil {
			return 0, err
		}
		had += int(n)
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(stale)), 200) {
		if err := l.compose(ctx, tx, part); err != nil {
			return 0, err
		}
	}
	return len(ids) - had, nil
}

// moved takes records away that are kept under another vulnerability now. Of a
// source whose ref stands for one vulnerability that is CNNVD's, CNVD's and OSV's
// own ids; an advisory's or package's ref stands for many.
func (l *Library) moved(ctx context.Context, tx bun.Tx, rows []recordRow, stale map[string]bool) error {
	now := map[string]string{}
	var refs []string
	for _, r := range rows {
		if r.Source == CNNVD || r.Source == CNVD {
			now[r.Source+"\x00"+r.Ref] = r.Vulnerability
			refs = append(refs, r.Ref)
		}
	}
	for part := range slices.Chunk(refs, 500) {
		var old []recordRow
		if err := tx.NewSelect().Model(&old).Column("vulnerability", "source", "ref").Where("r.source IN (?) AND r.ref IN (?)", bun.In([]string{CNNVD, CNVD}), bun.In(part)).Scan(ctx); err != nil {
			return fmt.Errorf("library: where records were: %w", err)
		}
		for _, o := range old {
			if to, ok := now[o.Source+"\x00"+o.Ref]; !ok || to == o.Vulnerability {
				continue
			}
			for _, table := range []string{"exposure_vulnerability_records", "exposure_affected"} {
				if _, err := tx.NewDelete().Table(table).Where("vulnerability = ? AND source = ? AND ref = ?", o.Vulnerability, o.Source, o.Ref).Exec(ctx); err != nil {
					return fmt.Errorf("library: move a record: %w", err)
				}
			}
			stale[o.Vulnerability] = true
		}
	}
	return nil
}

func (l *Library) writeEPSS(ctx context.Context, tx bun.Tx, rows []epssRow) error {
	last := map[string]epssRow{}
	for _, r := range rows {
		last[r.ID] = r
	}
	ids := slices.Sorted(maps.Keys(last))
	for part := range slices.Chunk(ids, 500) {
		list := make([]epssRow, len(part))
		for i, id := range part {
			list[i] = last[id]
		}
		if _, err := tx.NewInsert().Model(&list).On("CONFLICT (id) DO UPDATE").Set("score = EXCLUDED.score").Set("percentile = EXCLUDED.percentile").Set("day = EXCLUDED.day").Exec(ctx); err != nil {
			return fmt.Errorf("library: keep EPSS: %w", err)
		}
		if _, err := tx.NewUpdate().Table("exposure_vulnerabilities").Set("epss = (SELECT e.score FROM exposure_epss AS e WHERE e.id = exposure_vulnerabilities.id)").Where("id IN (?)", bun.In(part)).Exec(ctx); err != nil {
			return fmt.Errorf("library: keep EPSS: %w", err)
		}
	}
	return nil
}

// read reads what the sources say of some vulnerabilities.
func (l *Library) read(ctx context.Context, db bun.IDB, ids []string) (map[string][]Record, map[string]*ExploitLikelihood, error) {
	var rows []recordRow
	if err := db.NewSelect().Model(&rows).Where("r.vulnerability IN (?)", bun.In(ids)).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("library: read records: %w", err)
	}
	recs := map[string][]Record{}
	for _, row := range rows {
		doc, err := l.unpack.DecodeAll(row.Doc, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("library: the record %s %s of %s cannot be unpacked: %w", row.Source, row.Ref, row.Vulnerability, err)
		}
		var r Record
		if err := json.Unmarshal(doc, &r); err != nil {
			return nil, nil, fmt.Errorf("library: the record %s %s of %s cannot be read: %w", row.Source, row.Ref, row.Vulnerability, err)
		}
		recs[row.Vulnerability] = append(recs[row.Vulnerability], r)
	}
	var likely []epssRow
	if err := db.NewSelect().Model(&likely).Where("e.id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("library: read EPSS: %w", err)
	}
	epss := map[string]*ExploitLikelihood{}
	for _, e := range likely {
		epss[e.ID] = &ExploitLikelihood{Score: e.Score, Percentile: e.Percentile, Day: e.Day}
	}
	return recs, epss, nil
}

// compose writes the rows of vulnerabilities anew from their records.
func (l *Library) compose(ctx context.Context, tx bun.Tx, ids []string) error {
	recs, epss, err := l.read(ctx, tx, ids)
	if err != nil {
		return err
	}
	var rows []vulnRow
	var aliases []aliasRow
	var gone []string
	for _, id := range ids {
		if len(recs[id]) == 0 {
			gone = append(gone, id)
			continue
		}
		v := merge(id, recs[id], epss[id])
		line, err := json.Marshal(v.VulnLine)
		if err != nil {
			return err
		}
		rows = append(rows, vulnRow{ID: id, Level: rank(v.Level), Score: int(v.Score*10 + 0.5), EPSS: v.EPSS, Exploited: flag(v.Exploited), Rejected: flag(v.Rejected),
			Published: millis(v.Published), Modified: millis(v.Modified), Line: string(line), Words: v.find()})
		for _, a := range v.Aliases {
			aliases = append(aliases, aliasRow{Alias: strings.ToUpper(a), Vulnerability: id})
		}
	}
	if _, err := tx.NewDelete().Table("exposure_vulnerability_aliases").Where("vulnerability IN (?)", bun.In(ids)).Exec(ctx); err != nil {
		return fmt.Errorf("library: keep names: %w", err)
	}
	if len(gone) > 0 {
		if _, err := tx.NewDelete().Table("exposure_vulnerabilities").Where("id IN (?)", bun.In(gone)).Exec(ctx); err != nil {
			return fmt.Errorf("library: forget vulnerabilities: %w", err)
		}
	}
	if len(rows) > 0 {
		q := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE")
		for _, c := range []string{"level", "score", "epss", "exploited", "rejected", "published", "modified", "line", "words"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return fmt.Errorf("library: keep vulnerabilities: %w", err)
		}
	}
	if len(aliases) > 0 {
		if _, err := tx.NewInsert().Model(&aliases).On("CONFLICT (alias, vulnerability) DO NOTHING").Exec(ctx); err != nil {
			return fmt.Errorf("library: keep names: %w", err)
		}
	}
	return nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
