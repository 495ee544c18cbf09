package boards

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// expect says what the queries of a panel have to answer, in their order.
type expect func(w *World, v values) []want

// list makes an expectation of one query.
func list(f func(w *World, v values) want) expect {
	return func(w *World, v values) []want { return []want{f(w, v)} }
}

// fixed makes one that depends on nothing.
func fixed(x ...want) expect { return func(*World, values) []want { return x } }

// The events of the ledger.

// chosen tells whether a tenant is among the chosen ones.
func chosen(v values, tenant string) bool {
	l := v["tenant"]
	return len(l) == 0 || slices.Contains(l, tenant) || slices.Contains(l, ".*")
}

// count counts events of the second round, which are those within the times
// asked, by fields.
func (w *World) count(pick func(d *document) bool, fields ...string) map[string]float64 {
	return w.total(pick, func(*document) float64 { return 1 }, fields...)
}

func (w *World) total(pick func(d *document) bool, figure func(d *document) float64, fields ...string) map[string]float64 {
	out := map[string]float64{}
	for i := range w.documents {
		d := &w.documents[i]
		if d.round != 2 || !pick(d) {
			continue
		}
		var parts []string
		missing := false
		for _, f := range fields {
			missing = missing || d.fields[f] == ""
			parts = append(parts, d.fields[f])
		}
		if !missing {
			out[strings.Join(parts, "/")] += figure(d)
		}
	}
	return out
}

func anything(*document) bool { return true }

// has picks events by their fields.
func has(pairs ...string) func(d *document) bool {
	return func(d *document) bool {
		for i := 0; i < len(pairs); i += 2 {
			if d.fields[pairs[i]] != pairs[i+1] {
				return false
			}
		}
		return true
	}
}

// top leaves the n greatest, all of equal ones: which of them are shown is open.
func top(m map[string]float64, n int) want {
	if len(m) <= n {
		return of(m)
	}
	sizes := slices.Sorted(maps.Values(m))
	least := sizes[len(sizes)-n]
	out := map[string]float64{}
	for k, v := range m {
		if v > least {
			out[k] = v
		}
	}
	x := of(out).more()
	x.size, x.tie = n, least
	return x
}

// today counts the events of both rounds, by tenant.
func (w *World) today(v values) map[string]float64 {
	out := map[string]float64{}
	for i := range w.documents {
		if d := &w.documents[i]; d.tenant != "city" && d.tenant != "unassigned" && chosen(v, d.tenant) {
			out[d.tenant]++
		}
	}
	return out
}

func sum(m map[string]float64) (n float64) {
	for _, v := range m {
		n += v
	}
	return n
}

// speed is the mean speed of a number over the times asked.
func (w *World) speed(n float64) float64 { return n / w.to.Sub(w.from).Seconds() }

func (w *World) speeds(m map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for k, v := range m {
		out[k] = w.speed(v)
	}
	return out
}

// Alerts and incidents.

// open counts the alerts that are not closed: all but those of the tenant whose
// incident was closed, since it had them all.
func (w *World) open(v values, of func(a sent) string) map[string]float64 {
	out := map[string]float64{}
	for _, a := range w.alerts {
		if chosen(v, a.tenant) && w.incident(a.tenant) != "closed" {
			out[of(a)]++
		}
	}
	return out
}

func (w *World) raised(of func(a sent) string) map[string]float64 {
	out := map[string]float64{}
	for _, a := range w.alerts {
		out[of(a)]++
	}
	return out
}

func severity(a sent) string { return a.severity }
func tenant(a sent) string   { return a.tenant }
func all(sent) string        { return "" }

// incident is the state of a tenant's incident; "" where it has none.
func (w *World) incident(tenant string) string {
	for domain, slugs := range w.tenants {
		if slugs[0] == tenant {
			return cmp.Or(states[domain], "acknowledged")
		}
	}
	return ""
}

// alarmed are the tenants that have an incident, in order.
func (w *World) alarmed() []string {
	var out []string
	for _, slugs := range w.tenants {
		out = append(out, slugs[0])
	}
	slices.Sort(out)
	return out
}

// incidentsBy counts the chosen tenants' incidents that are not closed.
func (w *World) incidentsBy(v values, of func(tenant, state string) string) map[string]float64 {
	out := map[string]float64{}
	for _, t := range w.alarmed() {
		if state := w.incident(t); state != "closed" && chosen(v, t) {
			out[of(t, state)]++
		}
	}
	return out
}

// took are the seconds until incidents of the chosen tenants were acknowledged
// and resolved, from the incidents themselves.
func (w *World) took(v values) (acknowledge, resolve map[string]float64) {
	acknowledge, resolve = map[string]float64{}, map[string]float64{}
	for _, i := range w.incidents {
		if !chosen(v, i.Tenant) {
			continue
		}
		if at := i.SLA.AckedAt; at != nil {
			acknowledge[i.Tenant] += at.Sub(i.OpenedAt).Seconds()
		}
		if at := i.SLA.ResolvedAt; at != nil {
			resolve[i.Tenant] += at.Sub(i.OpenedAt).Seconds()
		}
	}
	return acknowledge, resolve
}

// mean is the mean of a figure of each incident; no answer where there is none.
func mean(m map[string]float64) want {
	if len(m) == 0 {
		return of(nil)
	}
	return one(sum(m) / float64(len(m)))
}

// The page of /metrics, for what follows from the machine and the program and
// not from what was driven: its figures are held against their sources by the
// tests of those, and here against what the queries make of them.

func (w *World) shown(name string) map[string]float64 {
	out := map[string]float64{}
	for labels, v := range w.page[name] {
		var parts []string
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			parts = append(parts, m[1]+"="+strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n").Replace(m[2]))
		}
		slices.Sort(parts)
		out[strings.Join(parts, ",")] = v
	}
	return out
}

var label = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

// page makes an expectation of the sum of a metric on the page.
func page(name string) expect {
	return list(func(w *World, _ values) want { return one(sum(w.shown(name))) })
}

// series makes one of all series of a metric on the page.
func series(name string) expect {
	return list(func(w *World, _ values) want { return of(w.shown(name)) })
}

// about lets an expectation be off by a part.
func about(part float64, x expect) expect {
	return func(w *World, v values) []want {
		out := x(w, v)
		for i := range out {
			out[i] = out[i].within(part)
		}
		return out
	}
}

// disk is what the system says of the disk with the data.
func (w *World) disk() (free, total float64) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(w.Disk, &st); err != nil {
		return 0, 0
	}
	return float64(st.Bavail) * float64(st.Bsize), float64(st.Blocks) * float64(st.Bsize)
}

// Telegraf's figures.

// of gives the series of a metric that belong to the chosen tenants, added up by
// labels: their values at the end, or what they grow by in a second.
func (w *World) measured(v values, name string, pick func(labels map[string]string) bool, figure func(m measure) float64, labels ...string) map[string]float64 {
	out := map[string]float64{}
	for tenant, list := range w.samples {
		if !chosen(v, tenant) {
			continue
		}
		for _, m := range list {
			if m.name != name {
				continue
			}
			has := map[string]string{}
			for pair := range strings.SplitSeq(m.labels, ",") {
				k, value, _ := strings.Cut(pair, "=")
				has[k] = value
			}
			if !pick(has) {
				continue
			}
			var parts []string
			for _, l := range labels {
				parts = append(parts, l+"="+has[l])
			}
			slices.Sort(parts)
			out[strings.Join(parts, ",")] += figure(m)
		}
	}
	return out
}

func every(map[string]string) bool { return true }

func (w *World) last(m measure) float64 { return m.value + m.slope*w.to.Sub(w.from).Seconds() }
func slope(m measure) float64           { return m.slope }

// labelled picks series by one label.
func labelled(name, value string) func(map[string]string) bool {
	return func(l map[string]string) bool { return l[name] == value }
}

func without(name, value string) func(map[string]string) bool {
	return func(l map[string]string) bool { return l[name] != value }
}

// gauge expects the values of a metric by labels.
func gauge(name string, pick func(map[string]string) bool, labels ...string) expect {
	return list(func(w *World, v values) want { return of(w.measured(v, name, pick, w.last, labels...)) })
}

// growth expects what a counter grows by.
func growth(name string, pick func(map[string]string) bool, labels ...string) expect {
	return list(func(w *World, v values) want { return of(w.measured(v, name, pick, slope, labels...)) })
}

// combined expects what is made of several metrics, label by label.
func combined(f func(x []float64) float64, names []string, pick func(map[string]string) bool, labels ...string) expect {
	return list(func(w *World, v values) want {
		out := map[string]float64{}
		for k := range w.measured(v, names[0], pick, w.last, labels...) {
			x := make([]float64, len(names))
			for i, n := range names {
				x[i] = w.measured(v, n, pick, w.last, labels...)[k]
			}
			out[k] = f(x)
		}
		return of(out)
	})
}

// overall expects one figure of all series of a metric.
func overall(name string, pick func(map[string]string) bool, f func(x []float64) float64) expect {
	return list(func(w *World, v values) want {
		var x []float64
		for _, m := range w.measured(v, name, pick, w.last, "host", "server", "path", "db", "cpu") {
			x = append(x, m)
		}
		return one(f(x))
	})
}

func added(x []float64) (n float64) {
	for _, v := range x {
		n += v
	}
	return n
}
func highest(x []float64) float64 { return slices.Max(x) }
func lowest(x []float64) float64  { return slices.Min(x) }
