package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeEvent is a row of the fake lake.
type fakeEvent struct {
	at     time.Time
	tenant string
	fields map[string]string
}

// fakeLake answers as the engine does: rows in no order, counts over time.
type fakeLake struct {
	asking  atomic.Int64
	most    atomic.Int64 // queries at one time
	events  []fakeEvent
	queries atomic.Int64
	fail    func(n int64) error // of the n-th query
	pause   time.Duration       // before each row
}

func (l *fakeLake) each(r search.Request, f func(fakeEvent) error) error {
	for _, e := range l.events {
		if r.Reach.Match(reach.Facts{Tenant: e.tenant}) && !e.at.Before(r.Start) && e.at.Before(r.End) && (r.Query == "*" || strings.HasPrefix(r.Query, "stats") || strings.Contains(e.fields["message"], r.Query)) {
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *fakeLake) Query(ctx context.Context, r search.Request, emit func([]byte) error) error {
	n := l.queries.Add(1)
	for now, most := l.asking.Add(1), l.most.Load(); now > most && !l.most.CompareAndSwap(most, now); most = l.most.Load() {
	}
	defer l.asking.Add(-1)
	if l.fail != nil {
		if err := l.fail(n); err != nil {
			return err
		}
	}
	if strings.HasPrefix(r.Query, "stats") {
		if err := emit([]byte(`{"user":"a","n":"3"}`)); err != nil {
			return err
		}
		return emit([]byte(`{"user":"b","n":"4","odd":"=1+1"}`))
	}
	return l.each(r, func(e fakeEvent) error {
		if l.pause > 0 {
			time.Sleep(l.pause)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		doc := map[string]string{"@timestamp": e.at.Format(time.RFC3339Nano)}
		for k, v := range e.fields {
			doc[k] = v
		}
		b, _ := json.Marshal(doc)
		return emit(b)
	})
}

func (l *fakeLake) Histogram(_ context.Context, r search.Request, n int) (search.Histogram, error) {
	step := max(r.End.Sub(r.Start)/time.Duration(n), 100*time.Millisecond)
	start := r.Start.Truncate(step)
	h := search.Histogram{StepMS: step.Milliseconds()}
	step = time.Duration(h.StepMS) * time.Millisecond
	for t := start; !t.After(r.End); t = t.Add(step) {
		h.Buckets = append(h.Buckets, search.Bucket{Time: t})
	}
	_ = l.each(r, func(e fakeEvent) error {
		h.Buckets[int(e.at.Sub(start)/step)].Count++
		h.Total++
		return nil
	})
	return h, nil
}

func (l *fakeLake) Fields(_ context.Context, r search.Request, _ int) ([]search.ValueHits, error) {
	names := map[string]uint64{"@timestamp": 1}
	_ = l.each(r, func(e fakeEvent) error {
		for k := range e.fields {
			names[k]++
		}
		return nil
	})
	var out []search.ValueHits
	delete(names, "event.original") // which the lake keeps apart
	for k, n := range names {
		out = append(out, search.ValueHits{Value: k, Hits: n})
	}
	return out, nil
}

type fixture struct {
	*Service
	t    *testing.T
	dir  string
	db   *state.DB
	lake *fakeLake
	lim  Limits
	as   As
	gone bool
	done chan Job
}

func newFixture(t *testing.T, lake *fakeLake) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), lake: lake, lim: DefaultLimits, done: make(chan Job, 100)}
	db, err := state.Open(t.Context(), filepath.Join(f.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f.db = db
	f.as = func(_ context.Context, o Owner, tenant, _ string, start time.Time) (reach.Reach, time.Time, error) {
		r := reach.Tenants("a", "b")
		if o.ID == "gone" {
			return r, start, Away("the account is disabled")
		}
		if tenant != "" {
			r = r.Narrow(strings.Split(tenant, ","))
		}
		if o.Bound != nil {
			r = r.Narrow(o.Bound)
		}
		return r, start, nil
	}
	f.open()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	f.Service, err = Open(f.t.Context(), f.db, Deps{Search: f.lake, Dir: filepath.Join(f.dir, "exports"), Log: slog.New(slog.DiscardHandler),
		Limits: func() Limits { return f.lim }, Gone: func(context.Context, string) (bool, error) { return f.gone, nil }, Finished: func(_ context.Context, j Job) { f.done <- j },
		Shape: func(q string) (Shape, error) {
			if q == "|" {
				return Shape{}, &search.QueryError{Query: q, Position: 0, Reason: "a pipe's name is missing"}
			}
			return Shape{Pipes: strings.HasPrefix(q, "stats"), Slices: !strings.HasPrefix(q, "stats")}, nil
		}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx, f.as) }()
	return func() { cancel(); <-ended }
}

func (f *fixture) make(q Request) Job {
	f.t.Helper()
	if q.Start.IsZero() {
		q.Start, q.End = noon.Add(-24*time.Hour), noon.Add(time.Hour)
	}
	if q.Query == "" {
		q.Query = "*"
	}
	j, err := f.Create(f.t.Context(), Owner{ID: "u1", Name: "lin"}, q)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.wait(j.ID)
}

func (f *fixture) wait(id string) Job {
	f.t.Helper()
	for {
		select {
		case j := <-f.done:
			if j.ID == id {
				return j
			}
		case <-time.After(30 * time.Second):
			f.t.Fatalf("the export %s did not end", id)
		}
	}
}

func (f *fixture) content(j Job) []byte {
	f.t.Helper()
	if j.State != Done {
		f.t.Fatalf("the export is %s: %s", j.State, j.Error)
	}
	_, r, err := f.File(f.t.Context(), "u1", j.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		f.t.Fatal(err)
	}
	if int64(len(b)) != j.Bytes {
		f.t.Errorf("the job says %d bytes, the file has %d", j.Bytes, len(b))
	}
	return b
}

// many makes n events over a day, of which a third are in one second.
func many(n int) *fakeLake {
	l := &fakeLake{}
	for i := range n {
		at := noon.Add(-time.Duration(i*7919%86400) * time.Second)
		if i%3 == 0 {
			at = noon.Add(-3 * time.Hour).Add(time.Duration(i) * time.Microsecond)
		}
		l.events = append(l.events, fakeEvent{at, "a", map[string]string{"message": fmt.Sprintf("row %d", i), "user.name": "张伟", "event.id": fmt.Sprint("e-", i)}})
	}
	l.events = append(l.events, fakeEvent{noon.Add(-time.Minute), "c", map[string]string{"message": "another tenant's"}})
	return l
}

func TestEveryRowOnceNewestFirst(t *testing.T) {
	t.Parallel()
	const n = 60_000
	f := newFixture(t, many(n))
	defer f.run()()
	j := f.make(Request{Format: NDJSON})
	body := f.content(j)
	if j.Rows != n || *j.Estimated != n || *j.Progress != 1 {
		t.Fatalf("rows %d, estimated %d, want %d", j.Rows, *j.Estimated, n)
	}
	seen := map[string]bool{}
	last := ""
	in := bufio.NewScanner(bytes.NewReader(body))
	for in.Scan() {
		var doc map[string]string
		if err := json.Unmarshal(in.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc["message"] == "another tenant's" {
			t.Fatal("a row out of reach")
		}
		if seen[doc["event.id"]] {
			t.Fatalf("%s is there twice", doc["event.id"])
		}
		seen[doc["event.id"]] = true
		at, err := time.Parse(time.RFC3339Nano, doc["@timestamp"])
		if err != nil {
			t.Fatal(err)
		}
		key := at.Format("2006-01-02T15:04:05.000000000Z")
		if last != "" && key > last {
			t.Fatalf("%s comes after %s", key, last)
		}
		last = key
	}
	if len(seen) != n {
		t.Errorf("%d rows, want %d", len(seen), n)
	}
	if f.lake.queries.Load() < 5 {
		t.Errorf("%d queries: the export was not read in pieces", f.lake.queries.Load())
	}
	st, err := os.Stat(filepath.Join(f.dir, "exports"))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v %v", st.Mode(), err)
	}
	files, _ := os.ReadDir(filepath.Join(f.dir, "exports"))
	for _, file := range files {
		if info, _ := file.Info(); file.IsDir() || info.Mode().Perm() != 0o600 {
			t.Errorf("%s in the folder, mode %v", file.Name(), info.Mode())
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	lake := &fakeLake{events: []fakeEvent{
		{noon, "a", map[string]string{"message": "=cmd|' /C calc'!A0", "event.original": "<1>a\nb,\"c\"", "event.id": "e-1"}},
		{noon.Add(-time.Second), "b", map[string]string{"message": "中文，逗号", "user": "-2", "event.id": "e-2"}},
	}}
	f := newFixture(t, lake)
	defer f.run()()
	t.Run("csv", func(t *testing.T) {
		body := f.content(f.make(Request{Format: CSV, BOM: true}))
		rest, ok := bytes.CutPrefix(body, []byte("\ufeff"))
		if !ok {
			t.Error("the byte order mark is missing")
		}
		rows, err := csv.NewReader(bytes.NewReader(rest)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(rows[0], " "), "'@timestamp event.id message user event.original"; got != want {
			t.Errorf("columns %q, want %q", got, want)
		}
		if rows[1][2] != "'=cmd|' /C calc'!A0" || rows[1][4] != "<1>a\nb,\"c\"" || rows[2][2] != "中文，逗号" || rows[2][3] != "'-2" || rows[2][4] != "" {
			t.Errorf("rows: %q", rows[1:])
		}
	})
	t.Run("csv without the mark, columns chosen", func(t *testing.T) {
		body := f.content(f.make(Request{Format: CSV, Fields: []string{"user", "message", "nowhere"}, Query: "中文"}))
		if got, want := string(body), "user,message,nowhere\n'-2,中文，逗号,\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("json", func(t *testing.T) {
		var docs []map[string]string
		if err := json.Unmarshal(f.content(f.make(Request{Format: JSON})), &docs); err != nil {
			t.Fatal(err)
		}
		if len(docs) != 2 || docs[0]["message"] != "=cmd|' /C calc'!A0" || docs[1]["user"] != "-2" {
			t.Errorf("docs: %v", docs)
		}
		if got := string(f.content(f.make(Request{Format: JSON, Query: "nothing such"}))); got != "[]\n" {
			t.Errorf("no rows: %q", got)
		}
		if got, want := string(f.content(f.make(Request{Format: JSON, Fields: []string{"user", "event.id"}}))), "[\n{\"event.id\":\"e-1\"},\n{\"user\":\"-2\",\"event.id\":\"e-2\"}\n]\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("xlsx", func(t *testing.T) {
		j := f.make(Request{Format: XLSX})
		book, err := excelize.OpenReader(bytes.NewReader(f.content(j)))
		if err != nil {
			t.Fatal(err)
		}
		defer book.Close()
		rows, err := book.GetRows("Sheet1")
		if err != nil {
			t.Fatal(err)
		}
		if j.Sheets != 1 || len(rows) != 3 || strings.Join(rows[0], " ") != "@timestamp event.id message user event.original" || rows[1][2] != "=cmd|' /C calc'!A0" || rows[1][4] != "<1>a\nb,\"c\"" {
			t.Errorf("sheets %d, rows %q", j.Sheets, rows)
		}
		if formula, _ := book.GetCellFormula("Sheet1", "C2"); formula != "" {
			t.Errorf("a cell became the formula %q", formula)
		}
	})
	t.Run("figures of a query keep their order", func(t *testing.T) {
		j := f.make(Request{Format: CSV, Query: "stats"})
		if got, want := string(f.content(j)), "user,n,odd\na,3,\nb,4,'=1+1\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if j.Estimated != nil {
			t.Errorf("estimated %d of what cannot be told", *j.Estimated)
		}
	})
	t.Run("the newest rows", func(t *testing.T) {
		j := f.make(Request{Format: NDJSON, Rows: 1})
		if body := string(f.content(j)); strings.Count(body, "\n") != 1 || !strings.Contains(body, "e-1") || len(j.Notes) != 1 {
			t.Errorf("%q, notes %q", body, j.Notes)
		}
	})
	t.Run("tenants", func(t *testing.T) {
		if body := string(f.content(f.make(Request{Format: NDJSON, Tenant: "b"}))); strings.Contains(body, "e-1") || !strings.Contains(body, "e-2") {
			t.Errorf("%q", body)
		}
	})
}

func TestWorkbookBeginsNewSheets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o, err := newOutput(dir, &row{Format: XLSX, Fields: `["a"]`}, []string{"a"}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	const full = 1000 // a whole sheet takes a quarter of a minute
	o.sink.(*workbook).full = full
	long := strings.Repeat("界", cellChars+5)
	for i := range full + 1 {
		v := "x"
		if i == 0 {
			v = long
		}
		if err := o.sink.row([]string{v}, []bool{true}); err != nil {
			t.Fatal(err)
		}
	}
	path, notes, err := o.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.sheets != 2 || len(notes) != 1 {
		t.Errorf("%d sheets, notes %q", o.sheets, notes)
	}
	book, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	rows, err := book.Rows("Sheet2")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		cells, _ := rows.Columns()
		got = append(got, strings.Join(cells, ","))
	}
	if strings.Join(got, " ") != "a x x" {
		t.Errorf("the second sheet: %q", got)
	}
	if first, _ := book.GetCellValue("Sheet1", "A2"); len([]rune(first)) != cellChars || !strings.HasSuffix(first, "…") {
		t.Errorf("a long cell has %d characters", len([]rune(first)))
	}
}

func TestCancelAndProgress(t *testing.T) {
	t.Parallel()
	lake := many(30_000)
	lake.pause = 100 * time.Microsecond
	f := newFixture(t, lake)
	defer f.run()()
	j, err := f.Create(t.Context(), Owner{ID: "u1"}, Request{Query: "*", Start: noon.Add(-24 * time.Hour), End: noon.Add(time.Hour), Format: NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		now, err := f.Get(t.Context(), "u1", j.ID)
		if err != nil {
			t.Fatal(err)
		}
		if now.State == Running && now.Rows > 0 {
			if now.Progress == nil || *now.Progress <= 0 || *now.Progress >= 1 {
				t.Errorf("progress %v at %d of %v rows", now.Progress, now.Rows, now.Estimated)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no progress: %+v", now)
		}
	}
	if _, err := f.Delete(t.Context(), "u1", j.ID); !errors.Is(err, ErrState) {
		t.Errorf("a running job can be removed: %v", err)
	}
	if c, err := f.Cancel(t.Context(), "u1", j.ID); err != nil || c.State != Cancelled {
		t.Errorf("cancel: %v %s", err, c.State)
	}
	if end := f.wait(j.ID); end.State != Cancelled || end.Error != "" {
		t.Errorf("ended as %s: %s", end.State, end.Error)
	}
	if files, _ := os.ReadDir(filepath.Join(f.dir, "exports")); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
	if _, err := f.Cancel(t.Context(), "u1", j.ID); !errors.Is(err, ErrState) {
		t.Errorf("cancelled twice: %v", err)
	}
	if _, _, err := f.File(t.Context(), "u1", j.ID); !errors.Is(err, ErrState) {
		t.Errorf("a cancelled job has a file: %v", err)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	lake := many(20_000)
	lake.pause = 50 * time.Microsecond
	f := newFixture(t, lake)
	stop := f.run()
	j, err := f.Create(t.Context(), Owner{ID: "u1"}, Request{Query: "*", Start: noon.Add(-24 * time.Hour), End: noon.Add(time.Hour), Format: NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	for {
		if now, _ := f.Get(t.Context(), "u1", j.ID); now.Rows > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop() // in order: no attempt
	r, err := f.row(t.Context(), "", j.ID)
	if err != nil || r.State != Queued || r.Attempts != 0 {
		t.Fatalf("after the stop: %v %s, %d attempts", err, r.State, r.Attempts)
	}
	// Killed: the row says running, and half a file lies there.
	r.State, r.Attempts = Running, 1
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(f.dir, "exports", "x.part")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	f.open()
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left half done is there: %v", err)
	}
	lake.pause = 0
	defer f.run()()
	end := f.wait(j.ID)
	if body := f.content(end); bytes.Count(body, []byte("\n")) != 20_000 {
		t.Errorf("%d rows after the restart", bytes.Count(body, []byte("\n")))
	}
	// Killed each time: it is given up.
	r, _ = f.row(t.Context(), "", j.ID)
	r.State, r.Attempts = Running, maxAttempts
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := f.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Get(t.Context(), "u1", j.ID); got.State != Failed || !strings.Contains(got.Error, "3 times") {
		t.Errorf("%s: %s", got.State, got.Error)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	lake := many(300)
	lake.pause = 100 * time.Microsecond
	f := newFixture(t, lake)
	f.lim.OwnerOpen = 20
	defer f.run()()
	var ids []string
	for range 12 {
		j, err := f.Create(t.Context(), Owner{ID: "u1"}, Request{Query: "*", Start: noon.Add(-24 * time.Hour), End: noon.Add(time.Hour), Format: NDJSON})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, j.ID)
		time.Sleep(3 * time.Millisecond)
	}
	for range ids {
		if j := <-f.done; j.State != Done {
			t.Errorf("%s: %s", j.State, j.Error)
		}
	}
	if most := lake.most.Load(); most != workers {
		t.Errorf("%d jobs ran at a time, want %d", most, workers)
	}
}

func TestEngineAway(t *testing.T) {
	t.Parallel()
	lake := many(100)
	lake.fail = func(n int64) error {
		if n == 1 {
			return fmt.Errorf("%w: restarting", search.ErrUnavailable)
		}
		return nil
	}
	f := newFixture(t, lake)
	defer f.run()()
	if j := f.make(Request{Format: NDJSON}); j.Rows != 100 {
		t.Errorf("%s with %d rows: %s", j.State, j.Rows, j.Error)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t, many(5000))
	defer f.run()()
	span := Request{Query: "*", Start: noon.Add(-24 * time.Hour), End: noon.Add(time.Hour), Format: NDJSON}
	with := func(change func(*Request)) Request { q := span; change(&q); return q }
	for name, c := range map[string]struct {
		q    Request
		want string
	}{
		"format": {with(func(q *Request) { q.Format = "pdf" }), "csv, xlsx, json or ndjson"},
		"time":   {with(func(q *Request) { q.End = q.Start }), "time range is empty"},
		"rows":   {with(func(q *Request) { q.Rows = 1 << 40 }), "max_rows"},
		"fields": {with(func(q *Request) { q.Fields = []string{"a", "a"} }), "twice"},
		"name":   {with(func(q *Request) { q.Name = "a\nb" }), "control characters"},
		"query":  {with(func(q *Request) { q.Query = "|" }), "a pipe's name"},
	} {
		if _, err := f.Create(t.Context(), Owner{ID: "u1"}, c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	j, err := f.Create(t.Context(), Owner{ID: "gone"}, span)
	if err != nil {
		t.Fatal(err)
	}
	if end := f.wait(j.ID); end.State != Failed || end.Error != "the account is disabled" {
		t.Errorf("%s: %q", end.State, end.Error)
	}
	if _, err := f.Get(t.Context(), "u1", j.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another's job is seen: %v", err)
	}
	f.lim.MaxBytes = 10_000
	if end := f.make(span); end.State != Failed || !strings.Contains(end.Error, "larger than") {
		t.Errorf("too large: %s: %q", end.State, end.Error)
	}
	f.lim.MaxBytes = DefaultLimits.MaxBytes
	f.lake.fail = func(int64) error { return errors.New("secret /path") }
	if end := f.make(span); end.State != Failed || strings.Contains(end.Error, "secret") {
		t.Errorf("an inner fault: %s: %q", end.State, end.Error)
	}
	f.lake.fail = nil
	f.deps.MinFree = 1 << 62
	if _, err := f.Create(t.Context(), Owner{ID: "u1"}, span); !errors.Is(err, ErrRoom) {
		t.Errorf("a full disk: %v", err)
	}
	f.deps.MinFree = 0
	f.lim.OwnerFiles = 1
	f.make(span)
	if _, err := f.Create(t.Context(), Owner{ID: "u1"}, span); !errors.Is(err, ErrLimit) {
		t.Errorf("too many files: %v", err)
	}
}

// TestKeptAtTheLastMoment keeps a file after it was found that its time is over.
func TestKeptAtTheLastMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, many(10))
	defer f.run()()
	j := f.make(Request{Format: CSV})
	late := time.Now().AddDate(0, 0, f.lim.Days+1)
	r, err := f.row(t.Context(), "u1", j.ID)
	if err != nil {
		t.Fatal(err)
	}
	keep := true
	if _, err := f.Update(t.Context(), "u1", j.ID, Change{Kept: &keep}); err != nil {
		t.Fatal(err)
	}
	if err := f.discard(t.Context(), r, late); err != nil {
		t.Fatal(err)
	}
	if now, err := f.Get(t.Context(), "u1", j.ID); err != nil || !now.Kept || now.State != Done {
		t.Errorf("%v: %+v", err, now)
	}
	f.content(j)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, many(10))
	defer f.run()()
	loose, kept := f.make(Request{Format: CSV}), f.make(Request{Format: CSV, Kept: true, Name: "证据"})
	if loose.ExpiresAt == nil || kept.ExpiresAt != nil {
		t.Errorf("expiry %v and %v", loose.ExpiresAt, kept.ExpiresAt)
	}
	f.now = func() time.Time { return time.Now().AddDate(0, 0, f.lim.Days+1) }
	f.expire(t.Context())
	if _, _, err := f.File(t.Context(), "u1", loose.ID); !errors.Is(err, ErrExpired) {
		t.Errorf("the file after its time: %v", err)
	}
	f.content(kept)
	keep := true
	if _, err := f.Update(t.Context(), "u1", loose.ID, Change{Kept: &keep}); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired file is kept: %v", err)
	}
	f.now = func() time.Time { return time.Now().AddDate(0, 3, 0) }
	f.expire(t.Context())
	items, total, _, err := f.List(t.Context(), Query{Owner: "u1", Limit: 10})
	if err != nil || total != 1 || items[0].ID != kept.ID {
		t.Errorf("%v: %d jobs: %+v", err, total, items)
	}
	other := f.make(Request{Format: CSV, Kept: true})
	if _, err := f.Delete(t.Context(), "u1", kept.ID); err != nil {
		t.Error(err)
	}
	f.gone = true // the account: what it kept expires like the rest
	f.expire(t.Context())
	if j, err := f.Get(t.Context(), "u1", other.ID); err != nil || j.Kept || j.ExpiresAt == nil || j.State != Done {
		t.Errorf("%v: what a removed account kept: %+v", err, j)
	}
	f.now = func() time.Time { return time.Now().AddDate(0, 4, 0) }
	f.expire(t.Context())
	if files, _ := os.ReadDir(filepath.Join(f.dir, "exports")); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
}
