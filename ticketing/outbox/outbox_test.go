package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/webhook"
)

// sink is a receiver that keeps the bodies it accepted.
type sink struct {
	mu       sync.Mutex
	accepted []string
	ids      []string
	requests int
	answer   func(n int, w http.ResponseWriter) int
	*httptest.Server
}

func newSink(t testing.TB, answer func(n int, w http.ResponseWriter) int) *sink {
	k := &sink{answer: answer}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		k.requests++
		n := k.requests
		k.mu.Unlock()
		code := http.StatusOK
		if k.answer != nil {
			code = k.answer(n, w)
		}
		if code == http.StatusOK {
			k.mu.Lock()
			k.accepted, k.ids = append(k.accepted, string(body)), append(k.ids, r.Header.Get(webhook.DeliveryHeader))
			k.mu.Unlock()
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *sink) got() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.accepted)
}

func (k *sink) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests
}

type fixture struct {
	t      testing.TB
	seal   *seal.Box
	egress *egress.Guard
	db     *state.DB
	cfg    Config
	mu     sync.Mutex
	at     time.Time
}

func newFixture(t testing.TB, receivers ...Receiver) *fixture {
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}}) // where the sinks are
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, egress: guard, seal: seal.Ephemeral(Sealed()...), db: db, at: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		cfg: Config{Receivers: receivers, BackoffMin: time.Second, BackoffMax: 10 * time.Minute, Timeout: time.Minute}}
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) forward(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) open() *Box {
	f.t.Helper()
	b, err := Open(f.t.Context(), f.db, Deps{Config: f.cfg, Seal: f.seal, Egress: f.egress, Clock: f.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) run(b *Box) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	f.t.Cleanup(stop)
	return stop
}

func (f *fixture) put(b *Box, bodies ...string) {
	f.t.Helper()
	err := f.db.RunInTx(f.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		for _, body := range bodies {
			_, err := b.Enqueue(ctx, tx, Message{IncidentID: "INC-1", Tenant: "tax", Kind: "changed", Unique: body,
				Render: func(Addressee) ([]byte, error) { return []byte(body), nil }})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	b.Wake()
}

func (f *fixture) until(what string, cond func() bool) {
	f.t.Helper()
	for range 12_000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Fatalf("did not come about: %s", what)
}

func (f *fixture) log(b *Box) []Attempt {
	f.t.Helper()
	list, _, _, err := b.Log(f.t.Context(), LogQuery{Reach: reach.All(), Limit: 100})
	if err != nil {
		f.t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// TestDownForAnHour: a receiver that is down for an hour gets each notification
// once and in order, while another gets its own at once.
func TestDownForAnHour(t *testing.T) {
	t.Parallel()
	var f *fixture
	down := newSink(t, func(int, http.ResponseWriter) int {
		if f.now().Before(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)) {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	up := newSink(t, nil)
	f = newFixture(t, Receiver{Name: "down", URL: down.URL}, Receiver{Name: "up", URL: up.URL})
	b := f.open()
	stop := f.run(b)
	var want []string
	for n := range 5 {
		body := fmt.Sprint("n", n)
		want = append(want, body)
		f.put(b, body)
		f.until("the other receiver has "+body, func() bool { return len(up.got()) == n+1 })
		f.forward(5 * time.Minute)
	}
	for range 40 {
		if n := len(down.got()); n > 0 && f.now().Before(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)) {
			t.Fatal("delivered while down")
		}
		f.forward(time.Minute)
		b.Wake()
		time.Sleep(5 * time.Millisecond)
		if f.now().Minute()%13 == 0 { // restarts in between
			stop()
			b = f.open()
			stop = f.run(b)
		}
	}
	f.until("all delivered", func() bool { f.forward(time.Minute); b.Wake(); return len(down.got()) == 5 })
	if got := down.got(); !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	if !slices.Equal(up.got(), want) {
		t.Errorf("the other got %v", up.got())
	}
	last := map[string]int{}
	for _, a := range f.log(b) {
		if a.Receiver == "down" && a.Attempt != last[a.Delivery]+1 {
			t.Errorf("attempt %d after %d", a.Attempt, last[a.Delivery])
		}
		last[a.Delivery] = a.Attempt
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f := func(name string, statuses []int, header string, want string) {
		t.Helper()
		k := newSink(t, func(n int, w http.ResponseWriter) int {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			return statuses[min(n, len(statuses))-1]
		})
		fx := newFixture(t, Receiver{Name: "r", URL: k.URL + "/geheim"})
		b := fx.open()
		fx.run(b)
		fx.put(b, "x")
		fx.until(name+": settled", func() bool {
			n := len(fx.log(b))
			if n > 0 && fx.log(b)[n-1].Status != Retrying {
				return true
			}
			if n > 0 {
				fx.forward(30 * time.Second)
				b.Wake()
			}
			return false
		})
		var got []string
		for _, a := range fx.log(b) {
			got = append(got, fmt.Sprintf("%d:%s", a.HTTPStatus, a.Status))
			if strings.Contains(a.Error+a.URLHost, "geheim") {
				t.Errorf("%s: the log holds a secret: %+v", name, a)
			}
			if a.Status == Retrying && header == "120" && a.NextAt-a.At < 120_000 {
				t.Errorf("%s: next attempt after %d ms, before the receiver asked for it", name, a.NextAt-a.At)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", name, s, want)
		}
	}
	f("ok", []int{200}, "", "200:delivered")
	f("500, then 200", []int{500, 200}, "", "500:retrying 200:delivered")
	f("4xx is final", []int{404}, "", "404:failed")
	f("redirect is final", []int{307}, "", "307:failed")
	f("408 and 429 are not", []int{408, 429, 200}, "", "408:retrying 429:retrying 200:delivered")
	f("Retry-After", []int{429, 200}, "120", "429:retrying 200:delivered")
}

func TestHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	k := newSink(t, func(n int, _ http.ResponseWriter) int {
		if n == 1 {
			<-release
		}
		return 200
	})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	f := newFixture(t, Receiver{Name: "r", URL: k.URL})
	f.cfg.Timeout = 2 * time.Second
	b := f.open()
	f.run(b)
	f.put(b, "x")
	f.until("the first attempt timed out", func() bool { return len(f.log(b)) == 1 })
	if a := f.log(b)[0]; a.Status != Retrying || a.HTTPStatus != 0 || a.Error != "no answer in time" {
		t.Errorf("attempt %+v", a)
	}
	f.until("delivered", func() bool { f.forward(time.Second); b.Wake(); return len(k.got()) > 0 })
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	k := newSink(t, func(n int, _ http.ResponseWriter) int { return 500 })
	f := newFixture(t, Receiver{Name: "r", URL: k.URL})
	f.cfg.MaxAge = time.Hour
	b := f.open()
	f.run(b)
	f.put(b, "x")
	f.until("given up", func() bool {
		f.forward(2 * time.Minute)
		b.Wake()
		l := f.log(b)
		return len(l) > 0 && l[len(l)-1].Status == Failed
	})
	l := f.log(b)
	last := l[len(l)-1]
	if age := time.UnixMilli(last.At).Sub(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)); age < time.Hour || !strings.Contains(last.Error, "given up") {
		t.Errorf("given up after %s: %s", age, last.Error)
	}
	n := k.count()
	f.forward(time.Hour)
	b.Wake()
	time.Sleep(50 * time.Millisecond)
	if k.count() != n {
		t.Error("tried again after giving up")
	}
}

func TestReceivers(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil)
	no := false
	f := newFixture(t, Receiver{Name: "fixed", URL: k.URL, Secret: "geheim", SendResolved: &no})
	b := f.open()
	add := func(r Receiver) error { _, err := b.AddReceiver(t.Context(), "admin", r); return err }
	if err := add(Receiver{Name: "mine", URL: k.URL + "/?k=geheim", Secret: "geheim", Tenants: []string{"tax"}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    Receiver
		want error
	}{
		"twice":       {Receiver{Name: "mine", URL: k.URL}, ErrExists},
		"of config":   {Receiver{Name: "fixed", URL: k.URL}, ErrExists},
		"no name":     {Receiver{URL: k.URL}, ErrInvalid},
		"odd name":    {Receiver{Name: "a/b", URL: k.URL}, ErrInvalid},
		"file scheme": {Receiver{Name: "x", URL: "file:///etc/passwd"}, ErrInvalid},
		"comma":       {Receiver{Name: "x", URL: k.URL, Tenants: []string{"a,b"}}, ErrInvalid},
	} {
		if err := add(c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	list, err := b.Receivers(t.Context())
	if err != nil || len(list) != 2 || !list[0].FromConfig || list[0].SendResolved || !list[1].Signed || list[1].CreatedBy != "admin" {
		t.Fatalf("receivers %+v, %v", list, err)
	}
	if s := fmt.Sprintf("%+v", list); strings.Contains(s, "geheim") {
		t.Errorf("a secret is shown: %s", s)
	}
	enqueue := func(tenant string, resolved bool) int {
		n := 0
		err := f.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
			n, err = b.Enqueue(ctx, tx, Message{IncidentID: "INC-1", Tenant: tenant, Kind: "x", Resolved: resolved, Unique: tenant + fmt.Sprint(resolved),
				Render: func(Addressee) ([]byte, error) { return []byte("{}"), nil }})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := enqueue("tax", false); n != 2 {
		t.Errorf("told %d receivers, want both", n)
	}
	if n := enqueue("tax", true); n != 1 {
		t.Errorf("told %d receivers of the end, want the one that asked for it", n)
	}
	if n := enqueue("e-seal", false); n != 1 {
		t.Errorf("told %d receivers of another tenant's incident, want one", n)
	}
	if err := b.RemoveReceiver(t.Context(), "fixed"); !errors.Is(err, ErrFromConfig) {
		t.Errorf("removing the configured one: %v", err)
	}
	if err := b.RemoveReceiver(t.Context(), "mine"); err != nil {
		t.Error(err)
	}
	if err := b.RemoveReceiver(t.Context(), "mine"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing twice: %v", err)
	}
	f.run(b)
	f.until("all settled", func() bool { return len(f.log(b)) == 4 })
	for _, a := range f.log(b) {
		if want := map[string]string{"fixed": Delivered, "mine": Failed}[a.Receiver]; a.Status != want {
			t.Errorf("%s: %s, want %s", a.Receiver, a.Status, want)
		}
	}
	if list, total, more, err := b.Log(t.Context(), LogQuery{Reach: reach.Tenants("e-seal"), Limit: 10}); err != nil || total != 1 || len(list) != 1 || more {
		t.Errorf("log of one tenant: %d of %d, %v", len(list), total, err)
	}
	if _, total, _, err := b.Log(t.Context(), LogQuery{Reach: reach.None(), Limit: 10}); err != nil || total != 0 {
		t.Errorf("log of no tenant: %d, %v", total, err)
	}
	list1, _, more, err := b.Log(t.Context(), LogQuery{Reach: reach.All(), Limit: 3})
	if err != nil || len(list1) != 3 || !more {
		t.Fatalf("first page %d, more %v, %v", len(list1), more, err)
	}
	if list2, _, more, err := b.Log(t.Context(), LogQuery{Reach: reach.All(), Limit: 3, Before: list1[2].ID}); err != nil || len(list2) != 1 || more {
		t.Errorf("second page %d, more %v, %v", len(list2), more, err)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := &Box{cfg: Config{BackoffMin: time.Second, BackoffMax: 5 * time.Minute}}
	for n, full := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 70: 5 * time.Minute, 100000: 5 * time.Minute} {
		for range 100 {
			if d := b.backoff(n); d < full/2 || d > full {
				t.Fatalf("attempt %d: wait %s, want %s to %s", n, d, full/2, full)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := (Receiver{SecretFile: file}).secret(); err != nil || s != "geheim" {
		t.Errorf("secret %q, %v", s, err)
	}
	f := func(c Config, want string) {
		t.Helper()
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	ok := Receiver{Name: "a", URL: "http://h/"}
	f(Config{}, "")
	f(Config{Receivers: []Receiver{ok}}, "")
	f(Config{Receivers: []Receiver{ok, ok}}, "receivers[1].name")
	f(Config{Receivers: []Receiver{{Name: "a", URL: "h"}}}, "receivers[0].url")
	f(Config{Receivers: []Receiver{{Name: "a", URL: "http://h", Secret: "x", SecretFile: "y"}}}, "receivers[0].secret")
	f(Config{Timeout: -1}, "timeout")
	f(Config{BackoffMin: time.Hour}, "backoff_max")
}

// TestSealedAtRest looks for a receiver's secret and token in the bytes of the
// state, where an older release left them in the clear.
func TestSealedAtRest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open()
	if _, err := f.db.ExecContext(t.Context(), "DELETE FROM outbox_keys"); err != nil {
		t.Fatal(err) // an older release had no links
	}
	_, err := f.db.ExecContext(t.Context(), `INSERT INTO outbox_receivers (name, url, send_resolved, secret, tenants, created_at, created_by)
		VALUES ('old', 'https://old.example/?token=old-token', 1, 'old-secret', '', 1, 'wang')`)
	if err != nil {
		t.Fatal(err)
	}
	if f.seal, err = seal.Open(t.Context(), f.db, filepath.Join(t.TempDir(), "master"), Sealed()...); err != nil {
		t.Fatal(err)
	}
	k := newSink(t, nil)
	b := f.open()
	if _, err := b.AddReceiver(t.Context(), "wang", Receiver{Name: "new", URL: k.URL + "/?token=new-token", Secret: "new-secret"}); err != nil {
		t.Fatal(err)
	}
	var rows []receiver
	if err := f.db.NewSelect().Model(&rows).OrderExpr("name").Scan(t.Context()); err != nil || len(rows) != 2 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for i, want := range []string{"new", "old"} {
		if text := rows[i].URL + rows[i].Secret; strings.Contains(text, "token") || strings.Contains(text, want+"-secret") {
			t.Errorf("the row of %s shows its secrets: %s", want, text)
		}
		if r, err := b.plain(rows[i]); err != nil || r.Secret != want+"-secret" || !strings.HasSuffix(r.URL, want+"-token") {
			t.Errorf("the row of %s opens to %+v, %v", want, r, err)
		}
	}
	// A row whose secret was swapped for another's is not sent to.
	if _, err := f.db.ExecContext(t.Context(), "UPDATE outbox_receivers SET secret = (SELECT secret FROM outbox_receivers WHERE name = 'old') WHERE name = 'new'"); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveReceiver(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	f.put(b, "x")
	f.run(b)
	f.until("the attempt fails", func() bool {
		list, _, _, err := b.Log(t.Context(), LogQuery{Reach: reach.All(), Limit: 1})
		return err == nil && len(list) == 1 && list[0].Status == Failed && strings.Contains(list[0].Error, "altered")
	})
	if k.count() != 0 {
		t.Error("a notification went out under a secret that is another's")
	}
}

// TestGuarded: a user's receiver on this machine is refused when it is made,
// and one that got there by other ways when it is told; the operator's own is
// told wherever it is.
func TestGuarded(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil)
	f := newFixture(t, Receiver{Name: "operators", URL: k.URL})
	b := f.open()
	if _, err := b.AddReceiver(t.Context(), "wang", Receiver{Name: "users", URL: k.URL}); err != nil {
		t.Fatal(err)
	}
	f.egress = nil
	b = f.open()
	if _, err := b.AddReceiver(t.Context(), "wang", Receiver{Name: "more", URL: k.URL}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("a receiver on loopback: %v", err)
	}
	f.put(b, "x")
	f.run(b)
	f.until("both are tried", func() bool { return len(f.log(b)) >= 2 })
	for _, a := range f.log(b) {
		if want := a.Receiver == "operators"; (a.Status == Delivered) != want || !want && (a.Status != Failed || !strings.Contains(a.Error, "loopback")) {
			t.Errorf("%s: %s, %s", a.Receiver, a.Status, a.Error)
		}
	}
	if k.count() != 1 {
		t.Errorf("the sink was asked %d times, want once", k.count())
	}
}
