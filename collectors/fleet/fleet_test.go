package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/easyproto"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
)

var facts = wire.Facts{Hostname: "web-1", OS: "linux", Arch: "amd64", Platform: "debian", Release: "12", Addresses: []string{"10.1.2.3"}, Virtual: "kvm"}

func enrolled(t testing.TB, f *fleettest.Fleet, token wire.Token, facts wire.Facts) *fleettest.Client {
	t.Helper()
	c, err := fleettest.NewClient(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Enrol(t.Context(), facts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	var s *fleettest.Status
	if !errors.As(err, &s) || s.Body.Code != code {
		t.Errorf("%v, want a refusal with the code %s", err, code)
	}
}

func TestATokenEnrolsOnce(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	token := f.Token(t, fleet.TokenDraft{Labels: []string{"role=web"}})
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			c, err := fleettest.NewClient(token)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { c.HTTP.CloseIdleConnections() }()
			var s *fleettest.Status
			switch err := c.Enrol(t.Context(), facts); {
			case err == nil:
				won.Add(1)
				// A lost answer is given again to the same key, and makes no second agent.
				id := c.ID
				again := &fleettest.Client{}
				*again = *c
				if err := again.Enrol(t.Context(), facts); err != nil || again.ID != id {
					t.Error("the answer was not repeated", err)
				}
			case errors.As(err, &s) && s.Body.Code == wire.CodeToken:
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 11 {
		t.Fatalf("%d hosts were enrolled and %d refused, by a token for one", won.Load(), lost.Load())
	}
	hosts := f.Hosts(fleettest.Admin, fleet.HostQuery{})
	if len(hosts) != 1 || hosts[0].Tenant != "egov" || hosts[0].Labels[0] != "role=web" || hosts[0].State != fleet.Never {
		t.Fatalf("%+v", hosts)
	}
	for _, x := range f.Tokens(fleettest.Admin) {
		if x.State != "used" {
			t.Errorf("%+v", x)
		}
	}
	token.Secret = "guessed"
	c, _ := fleettest.NewClient(token)
	refused(t, c.Enrol(t.Context(), facts), wire.CodeToken)
	other, _ := fleettest.NewClient(wire.Token{URLs: token.URLs, CA: strings.Repeat("ab", 32), Secret: "x"})
	if err := other.Enrol(t.Context(), facts); err == nil || !strings.Contains(err.Error(), "lacks the CA") {
		t.Fatal("a client that was told of another CA spoke", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	c := enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts)
	ctx := t.Context()
	o, err := c.Checkin(ctx, wire.Checkin{Version: "1.0.0", State: wire.StateHealthy, Facts: &facts})
	if err != nil || o.Config == nil {
		t.Fatalf("%+v, %v", o, err)
	}
	if d, err := wire.ParseDocument([]byte(o.Config.Document)); err != nil || len(d.Inputs) == 0 {
		t.Fatal(d, err)
	}
	stranger, _ := fleettest.NewClient(f.Token(t, fleet.TokenDraft{}))
	_, err = stranger.Checkin(ctx, wire.Checkin{})
	refused(t, err, wire.CodeIdentity)

	former := *c
	if err := c.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := former.Checkin(ctx, wire.Checkin{}); err != nil {
		t.Fatal("the former certificate does not hold until the new one is used:", err)
	}
	if _, err := c.Checkin(ctx, wire.Checkin{Config: "x"}); err != nil {
		t.Fatal(err)
	}
	_, err = former.Checkin(ctx, wire.Checkin{})
	refused(t, err, wire.CodeRevoked)

	// A waiting checkin is cut, and what comes after is refused by name.
	cut := make(chan error, 1)
	go func() {
		_, err := c.Checkin(ctx, wire.Checkin{Config: o.Config.SHA256, State: wire.StateHealthy})
		cut <- err
	}()
	time.Sleep(200 * time.Millisecond)
	if err := f.Revoke(ctx, fleettest.Admin, []string{c.ID}, "lost"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-cut:
		if err == nil {
			t.Error("the checkin of a revoked agent was answered")
		}
	case <-time.After(3 * time.Second):
		t.Error("the open connection of a revoked agent was not cut")
	}
	_, err = c.Checkin(ctx, wire.Checkin{})
	refused(t, err, wire.CodeRevoked)
	refused(t, c.Batch(ctx, wire.PathLogs, "01JDQ6Z3W8AAAAAAAAAAAAAAAA-1", nil), wire.CodeRevoked)
	f.Restart(t)
	_, err = c.Checkin(ctx, wire.Checkin{})
	refused(t, err, wire.CodeRevoked)
}

// write encodes one series of remote write 1.0.
func write(labels map[string]string, at time.Time, value float64) []byte {
	var pool easyproto.MarshalerPool
	m := pool.Get()
	ts := m.MessageMarshaler().AppendMessage(1)
	for k, v := range labels {
		l := ts.AppendMessage(1)
		l.AppendString(1, k)
		l.AppendString(2, v)
	}
	s := ts.AppendMessage(2)
	s.AppendDouble(1, value)
	s.AppendInt64(2, at.UnixMilli())
	return snappy.Encode(nil, m.Marshal(nil))
}

func TestBatches(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	var invented atomic.Int32
	f.Invents = func(a fleet.Agent, inv *wire.Inventory) (string, error) {
		invented.Add(1)
		return "item-1", nil
	}
	c := enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts)
	ctx := t.Context()
	logs := intake.AppendBatch(nil, []intake.Record{
		{Tenant: "seal", Zone: "elsewhere", Collector: "icewatch", ID: "e-1", Data: []byte("a line"), Attrs: []intake.Attr{{Name: "log.file.path", Value: "/var/log/app"}, {Name: "host.name", Value: "somebody-else"}}},
		{ID: "e-2", Format: intake.JSON, Data: []byte(`{"a":1}`)},
	})
	const epoch = "01JDQ6Z3W8AAAAAAAAAAAAAAAA"
	for range 3 {
		if err := c.Batch(ctx, wire.PathLogs, epoch+"-1", logs); err != nil {
			t.Fatal(err)
		}
	}
	f.Restart(t)
	if err := c.Batch(ctx, wire.PathLogs, epoch+"-1", logs); err != nil {
		t.Fatal(err)
	}
	got := f.Lines()
	if len(got) != 2 {
		t.Fatalf("%d records of 2 are stored", len(got))
	}
	r := got[0]
	if r.Tenant != "egov" || r.Zone != "default" || r.Collector != "agent" || r.ID != c.ID+"-e-1" || r.Peer.String() != "10.1.2.3" {
		t.Errorf("what an agent says of itself was taken: %+v", r)
	}
	hosts := 0
	for _, a := range r.Attrs {
		if a.Name == "host.name" {
			if hosts++; a.Value != "web-1" {
				t.Errorf("host.name is %s", a.Value)
			}
		}
	}
	if hosts != 1 {
		t.Errorf("%d times host.name", hosts)
	}
	own := intake.AppendBatch(nil, []intake.Record{{Format: intake.Flow, Data: []byte("x")}})
	refused(t, c.Batch(ctx, wire.PathLogs, epoch+"-2", own), wire.CodeMalformed)
	refused(t, c.Batch(ctx, wire.PathLogs, epoch+"-2", []byte("x")), wire.CodeMalformed)
	refused(t, c.Batch(ctx, wire.PathLogs, "nonsense", logs), wire.CodeMalformed)
	refused(t, c.Batch(ctx, wire.PathLogs, epoch+"-2", make([]byte, wire.MaxBody+1)), wire.CodeTooLarge)

	sample := write(map[string]string{"__name__": "cpu_usage", "host": "somebody-else", "tenant": "seal", "icewatch_tenant": "seal", "cpu": "cpu0"}, time.Now(), 7)
	for range 2 {
		if err := c.Batch(ctx, wire.PathMetrics, epoch+"-1", sample); err != nil {
			t.Fatal(err)
		}
	}
	if f.Samples["egov"] != 1 || f.Samples["seal"] != 0 {
		t.Errorf("%v", f.Samples)
	}
	labels := map[string]string{}
	for _, l := range f.Series[0].Labels {
		labels[l.Name] = l.Value
	}
	if labels["host"] != "web-1" || labels["agent_id"] != c.ID || labels["tenant"] != "" || labels["icewatch_tenant"] != "" || labels["cpu"] != "cpu0" || labels[metrics.LabelName] != "cpu_usage" {
		t.Errorf("%v", labels)
	}
	refused(t, c.Batch(ctx, wire.PathMetrics, epoch+"-2", []byte("x")), wire.CodeMalformed)

	enc, _ := zstd.NewWriter(nil)
	inventory := enc.EncodeAll(wire.Encode(wire.Inventory{Taken: 1, Facts: facts, Processes: []wire.Process{{PID: 1, Name: "init"}}}), nil)
	if err := c.Batch(ctx, wire.PathInventory, epoch+"-1", inventory); err != nil {
		t.Fatal(err)
	}
	if data, err := f.Inventory(ctx, fleettest.Admin, c.ID); err != nil || !strings.Contains(string(data), `"init"`) {
		t.Fatal(string(data), err)
	}
	if h, _ := f.Host(fleettest.Admin, c.ID); h.Item != "item-1" || invented.Load() != 1 {
		t.Errorf("%+v", h.Item)
	}
	bomb := enc.EncodeAll(make([]byte, wire.MaxUnpacked+1), nil)
	refused(t, c.Batch(ctx, wire.PathInventory, epoch+"-2", bomb), wire.CodeTooLarge)

	// What the bus does not take is not acknowledged, and taken when it comes again.
	f.Fail = intake.ErrFull
	refused(t, c.Batch(ctx, wire.PathLogs, epoch+"-3", logs), wire.CodeBusy)
	f.Fail = nil
	if err := c.Batch(ctx, wire.PathLogs, epoch+"-3", logs); err != nil || len(f.Lines()) != 4 {
		t.Fatal(len(f.Lines()), err)
	}
}

// agent runs checkins as an agent does: it takes each configuration, or refuses it
// where refuse says so.
type agent struct {
	*fleettest.Client
	mu      sync.Mutex
	c       wire.Checkin
	runs    map[string]time.Time // leases
	rate    uint64               // that it tells of each
	refuse  func(document string) *wire.Fault
	stopped chan struct{}
}

func run(ctx context.Context, c *fleettest.Client, refuse func(string) *wire.Fault) *agent {
	a := &agent{Client: c, refuse: refuse, stopped: make(chan struct{}), runs: map[string]time.Time{}, c: wire.Checkin{Version: "1.0.0", State: wire.StateHealthy}}
	go func() {
		defer close(a.stopped)
		for ctx.Err() == nil {
			a.mu.Lock()
			in := a.c
			in.Leases = slices.Clone(a.c.Leases)
			for i := range in.Leases {
				in.Leases[i].Rate = a.rate
			}
			a.mu.Unlock()
			sent := time.Now()
			o, err := a.Checkin(ctx, in)
			if err != nil {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			a.mu.Lock()
			a.c.Results = nil
			if o.Config != nil {
				if fault := a.refuse(o.Config.Document); fault != nil {
					fault.SHA256 = o.Config.SHA256
					a.c.ConfigError = fault
				} else {
					a.c.Config, a.c.ConfigError = o.Config.SHA256, nil
				}
			}
			for _, x := range o.Commands {
				a.c.Results = append(a.c.Results, wire.Result{ID: x.ID, OK: x.Kind != wire.CommandStop, Text: x.Kind + " " + x.Input, At: time.Now().Unix()})
			}
			if o.Leases != nil {
				a.runs, a.c.Leases = map[string]time.Time{}, nil
				for _, l := range *o.Leases {
					a.runs[l.Task] = sent.Add(time.Duration(l.TTL) * time.Millisecond)
					a.c.Leases = append(a.c.Leases, wire.LeaseState{Task: l.Task, Fence: l.Fence})
				}
			}
			a.mu.Unlock()
		}
	}()
	return a
}

func (a *agent) config() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.c.Config
}

func takes(string) *wire.Fault { return nil }

func eventually(t *testing.T, within time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func TestRolloutAndRollback(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	token := f.Token(t, fleet.TokenDraft{Uses: 20, Labels: []string{"role=web"}})
	var agents []*agent
	for i := range 20 {
		x := facts
		x.Hostname = fmt.Sprintf("web-%02d", i)
		agents = append(agents, run(ctx, enrolled(t, f, token, x), func(document string) *wire.Fault {
			if strings.Contains(document, "no_such_plugin") {
				return &wire.Fault{Part: "inputs.no_such_plugin", Line: 2, Text: "there is no such plug-in"}
			}
			return nil
		}))
	}
	c, err := f.KeepConfiguration(ctx, fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "web", Selector: configuration.Selector{Labels: []string{"role=web"}}})
	if err != nil {
		t.Fatal(err)
	}
	soak := 0
	publish := func(document string) fleet.ConfigurationView {
		t.Helper()
		v, err := f.Publish(ctx, fleettest.Admin, c.ID, fleet.Publication{Document: document, Soak: &soak})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	publish("inputs:\n  - {plugin: cpu}\n")
	get := func() fleet.ConfigurationView {
		v, _, err := f.Configuration(fleettest.Admin, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	eventually(t, 10*time.Second, "the first version is everywhere", func() bool {
		v := get()
		return v.Rollout.State == configuration.Done && v.Progress.Applied == 20
	})
	good := agents[0].config()
	publish("inputs:\n  - {plugin: no_such_plugin}\n")
	eventually(t, 10*time.Second, "a bad version is taken back", func() bool { return get().Rollout.State == configuration.RolledBack })
	v := get()
	if !strings.Contains(v.Rollout.Reason, "inputs.no_such_plugin, line 2: there is no such plug-in") || !strings.HasPrefix(v.Rollout.Host, "web-") {
		t.Errorf("%+v", v.Rollout)
	}
	got := 0
	for _, a := range agents {
		a.mu.Lock()
		if a.c.ConfigError != nil {
			got++
		}
		a.mu.Unlock()
		if a.config() != good {
			t.Error("a bad version reached an agent")
		}
	}
	if got > 2 {
		t.Errorf("the bad version was offered to %d of 20 agents; a tenth is 2", got)
	}
	// A change is live fast.
	began := time.Now()
	if _, err := f.Publish(ctx, fleettest.Admin, c.ID, fleet.Publication{Document: "inputs:\n  - {plugin: mem}\n", AtOnce: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "a change is live in 3 s", func() bool { return get().Progress.Applied == 20 })
	t.Logf("20 agents took a change in %s", time.Since(began).Round(time.Millisecond))

	// Commands, with a result from each.
	var ids []string
	for _, h := range f.Hosts(fleettest.Admin, fleet.HostQuery{}) {
		ids = append(ids, h.ID)
	}
	jobs, err := f.Order(ctx, fleettest.Admin, fleet.JobDraft{Kind: wire.CommandRestart, Hosts: ids})
	if err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	eventually(t, 5*time.Second, "20 results", func() bool {
		v, _, _ := f.Job(fleettest.Admin, jobs[0].ID)
		return v.States[fleet.JobDone] == 20
	})
	failing, err := f.Order(ctx, fleettest.Admin, fleet.JobDraft{Kind: wire.CommandStop, Input: "cpu", Hosts: ids[:3]})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "3 failures", func() bool {
		v, list, _ := f.Job(fleettest.Admin, failing[0].ID)
		return v.States[fleet.JobFailed] == 3 && list[0].Text == "stop cpu"
	})
	if list, err := f.Operations(ctx, fleettest.Admin, roster.OperationQuery{Kind: "rollout-failed", Limit: 10}); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if list := f.Hosts(fleettest.Admin, fleet.HostQuery{Text: "WEB-07 10.1"}); len(list) != 1 {
		t.Errorf("%d hosts found", len(list))
	}
	if st := f.Statistics(fleettest.Admin); st.States[fleet.Online] != 20 || st.Kinds["virtual"] != 20 || st.Versions["1.0.0"] != 20 {
		t.Errorf("%+v", st)
	}
}

// A version that is published before there is a host goes to whoever joins first.
func TestPublishedBeforeTheFirstHost(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	c, err := f.KeepConfiguration(ctx, fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	soak := 0
	if _, err := f.Publish(ctx, fleettest.Admin, c.ID, fleet.Publication{Document: "inputs:\n  - {plugin: cpu}\n", Soak: &soak}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond) // it is stepped meanwhile
	run(ctx, enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts), takes)
	eventually(t, 5*time.Second, "the version is in force", func() bool {
		v, _, err := f.Configuration(fleettest.Admin, c.ID)
		return err == nil && v.Rollout.State == configuration.Done && v.Progress.Applied == 1
	})
}

func TestReach(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	c := enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts)
	other := fleet.Asker{Name: "other", Within: reach.Tenants("seal")}
	if list := f.Hosts(other, fleet.HostQuery{}); len(list) != 0 {
		t.Error("hosts of another tenant are shown")
	}
	if st := f.Statistics(other); st.Hosts != 0 {
		t.Error("hosts of another tenant are counted")
	}
	if list := f.Tokens(other); len(list) != 0 {
		t.Error("tokens of another tenant are shown")
	}
	if list, err := f.Operations(ctx, other, roster.OperationQuery{Limit: 10}); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	for what, err := range map[string]error{
		"Host":      func() error { _, err := f.Host(other, c.ID); return err }(),
		"Inventory": func() error { _, err := f.Inventory(ctx, other, c.ID); return err }(),
		"Document":  func() error { _, err := f.Document(other, c.ID); return err }(),
		"Revoke":    f.Revoke(ctx, other, []string{c.ID}, ""),
		"Delete":    f.Delete(ctx, other, []string{c.ID}, ""),
		"Order": func() error {
			_, err := f.Order(ctx, other, fleet.JobDraft{Kind: "restart", Hosts: []string{c.ID}})
			return err
		}(),
		"Change": func() error {
			_, err := f.ChangeHosts(ctx, other, []string{c.ID}, fleet.HostChange{AddLabels: []string{"x"}})
			return err
		}(),
	} {
		if !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"Token": func() error { _, err := f.CreateToken(ctx, other, fleet.TokenDraft{Tenant: "egov"}); return err }(),
		"Group": func() error {
			_, err := f.KeepGroup(ctx, other, "", fleet.GroupDraft{Tenant: "egov", Name: "g"})
			return err
		}(),
		"Configuration": func() error {
			_, err := f.KeepConfiguration(ctx, other, "", 0, fleet.ConfigurationDraft{Name: "all"})
			return err
		}(),
		"Package": func() error { _, err := f.AddPackage(ctx, other, "1", "", strings.NewReader("x")); return err }(),
	} {
		if !errors.Is(err, fleet.ErrForbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.Delete(ctx, fleettest.Admin, []string{c.ID}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Checkin(ctx, wire.Checkin{}); err == nil {
		t.Error("a deleted agent was answered")
	}
}

func TestGroupTasks(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	token := f.Token(t, fleet.TokenDraft{Uses: 4})
	var agents []*agent
	var ids []string
	for i := range 4 {
		x := facts
		x.Hostname = fmt.Sprintf("probe-%d", i)
		c := enrolled(t, f, token, x)
		agents, ids = append(agents, run(ctx, c, takes)), append(ids, c.ID)
	}
	eventually(t, 5*time.Second, "all are online", func() bool { return f.Statistics(fleettest.Admin).States[fleet.Online] == 4 })
	g, err := f.KeepGroup(ctx, fleettest.Admin, "", fleet.GroupDraft{Tenant: "egov", Name: "probes"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ChangeHosts(ctx, fleettest.Admin, ids, fleet.HostChange{Group: &g.ID}); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if _, err := f.KeepTask(ctx, fleettest.Admin, "", 0, fleet.TaskDraft{Tenant: "egov", Name: fmt.Sprint("redis ", i), Template: "redis", Params: map[string]string{"url": "tcp://10.1.1.1:6379", "password": "s3cr3t"}, Group: g.ID}); err != nil {
			t.Fatal(err)
		}
	}
	// The first span after a start is for holders from before to tell.
	eventually(t, 30*time.Second, "each task runs on one of four", func() bool {
		n, by := 0, 0
		for _, a := range agents {
			a.mu.Lock()
			if len(a.runs) > 0 {
				by++
			}
			n += len(a.runs)
			a.mu.Unlock()
		}
		return n == 8 && by == 4
	})
	for _, x := range f.Tasks(fleettest.Admin, fleet.TaskQuery{}) {
		if x.State != "running" || x.Holder == "" || strings.Contains(x.Document, "s3cr3t") || x.Params["password"] != "" {
			t.Errorf("%+v", x)
		}
	}

	// A rule on tasks is on those of groups, too: on each once, by what its holder tells, and it
	// goes on where another member takes the task over.
	for _, a := range agents {
		a.mu.Lock()
		a.rate = 5_000
		a.mu.Unlock()
	}
	rule, err := f.KeepThreshold(ctx, fleettest.Admin, "", fleet.ThresholdDraft{Tenant: "egov", Name: "much", Of: fleet.OfTask, Resource: "rate", Above: 1_000, Minutes: 1, Selector: configuration.Selector{Groups: []string{g.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.KeepThreshold(ctx, fleettest.Admin, "", fleet.ThresholdDraft{Tenant: "egov", Name: "elsewhere", Of: fleet.OfTask, Resource: "rate", Above: 1, Minutes: 1, Selector: configuration.Selector{Labels: []string{"role=web"}}}); err != nil {
		t.Fatal(err)
	}
	beyond := func() map[string]string {
		tasks := map[string]string{}
		for _, a := range f.Alarms() {
			if a.Kind == fleet.AlarmBeyond {
				if a.Fields["rule"] != "much" || tasks[a.Fields["task"]] != "" {
					t.Fatalf("%+v", a)
				}
				tasks[a.Fields["task"]] = a.Fields["agent"]
			}
		}
		return tasks
	}
	eventually(t, 30*time.Second, "each task is beyond the rule for a minute", func() bool {
		for _, x := range f.Tasks(fleettest.Admin, fleet.TaskQuery{}) {
			if x.Holder == "" {
				return false
			}
		}
		beyond() // since now at the latest
		f.Pass(61 * time.Second)
		return len(beyond()) == 8
	})
	for _, v := range f.Thresholds(fleettest.Admin) {
		if (v.ID == rule.ID) != (len(v.Beyond) == 8) {
			t.Errorf("%+v", v)
		}
	}
}
