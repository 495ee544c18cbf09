// Package cmdb measures the CMDB at the size of a city: a million items that
// hang together by five million relations, on SQLite and on PostgreSQL. make
// bench-cmdb runs it and prints BENCH lines; without CMDB_ITEMS the test goes
// the same way with a few thousand items, so that it stays a way that works.
package cmdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"icewatch/cmdb"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/test/peers"
)

// fileRows is how many rows one import has.
const fileRows = 100_000

func TestBenchSQLite(t *testing.T) { run(t, "", cmdb.OnState) }

func TestBenchPostgreSQL(t *testing.T) {
	url := peers.StartPostgres(t, "-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB", "-c", "maintenance_work_mem=256MB")
	run(t, "_pg", func(*state.DB) *cmdb.Database {
		db, err := cmdb.OpenPostgres(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	})
}

// bench is one CMDB under measurement.
type bench struct {
	t     *testing.T
	name  string // after each figure's
	s     *cmdb.Service
	total int
	rnd   *rand.Rand
	cpu   time.Duration // of processors, of the last import
	last  time.Duration // of one search, without what went before it
}

func run(t *testing.T, name string, open func(*state.DB) *cmdb.Database) {
	b := &bench{t: t, name: name, total: 3000, rnd: rand.New(rand.NewPCG(1, 2))}
	if n := os.Getenv("CMDB_ITEMS"); n != "" {
		var err error
		if b.total, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tenants, err := tenancy.Open(t.Context(), db, fstest.MapFS{"a/tenant.yaml": &fstest.MapFile{Data: []byte("slug: a\nname: {zh: 甲, en: A}\ndomain: test\nprotection_level: 3\nsubsystems:\n  - {zh: 子, en: Sub}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	on := open(db)
	if b.s, err = cmdb.Open(t.Context(), on, tenants); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.s.Close() })
	b.fill()
	b.restart(on, tenants)
	b.paths()
	b.searches()
	b.lookups()
}

func (b *bench) figure(name string, value float64, unit string) {
	fmt.Printf("BENCH %s%s %.2f %s\n", name, b.name, value, unit)
}

func (b *bench) load(csv string) time.Duration {
	b.t.Helper()
	start, cpu := time.Now(), processor()
	r, err := b.s.Import(b.t.Context(), cmdb.CSV, strings.NewReader(csv), cmdb.ImportOptions{Within: reach.All(), Actor: "bench", Tenant: "a"})
	if err != nil || len(r.Errors) > 0 {
		b.t.Fatalf("%+v, %v", r, err)
	}
	b.cpu = processor() - cpu
	return time.Since(start)
}

// processor is the time that this process has kept processors busy, which other
// programs on the machine do not change much.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The parts of the city, in proportion to its size.
func (b *bench) systems() int  { return max(10, b.total/300) }
func (b *bench) hosts() int    { return max(10, b.total/50) }
func (b *bench) networks() int { return b.total/200 + 1 }

// fill imports the city. Each virtual machine belongs to a system, an
// organisation and a cloud account, runs on a host and lies in a network: five
// relations.
func (b *bench) fill() {
	var csv strings.Builder
	csv.WriteString("class,id,name,zone,addresses,system,organisation,attr.cabinet,attr.business_line\n")
	row := func(format string, args ...any) { fmt.Fprintf(&csv, format+"\n", args...) }
	for i := range 200 {
		row("organisation,org-%d,单位%d,,,,,,", i, i)
		row("cloud_account,acc-%d,账号%d,,,,,,", i, i)
	}
	for i := range b.systems() {
		row("business_system,sys-%d,系统%d,,,,org-%d,,line-%d", i, i, i%200, i%10)
	}
	for i := range b.hosts()/20 + 1 {
		row("cabinet,cab-%d,机柜%d,,,,,,", i, i)
	}
	for i := range b.hosts() {
		row("host,host-%d,host-%d,z0,172.%d.%d.%d,,,cab-%d,", i, i, 16+i>>16, i>>8&255, i&255, i/20)
	}
	for i := range b.networks() {
		row("network,net-%d,net-%d,z%d,10.%d.%d.0/24,,,,", i, i, i%4, i/4>>8, i/4&255)
	}
	b.load(csv.String())
	var worst time.Duration
	for done := 0; done < b.total; {
		n := min(fileRows, b.total-done)
		csv.Reset()
		csv.WriteString("class,id,name,zone,addresses,criticality,owner,labels,system,organisation,attr.hypervisor,attr.cloud_account,attr.os,attr.cpu_cores,attr.instance_id\n")
		for i := done; i < done+n; i++ {
			net := i / 200
			row("vm,vm-%d,vm-%d,z%d,10.%d.%d.%d,%d,负责人%d,l%d,sys-%d,org-%d,host-%d,acc-%d,%s,%d,i-%08x", i, i, net%4, net/4>>8, net/4&255, 1+i%200, 1+i%5, i%500, i%100,
				b.rnd.IntN(b.systems()), i%200, b.rnd.IntN(b.hosts()), i%200, []string{"Kylin V10", "openEuler 22.03", "UOS 20", "Windows Server 2019"}[i%4], 1<<(i%7), i*2654435761%(1<<32))
		}
		took := b.load(csv.String())
		worst = max(worst, took)
		done += n
		fmt.Printf("# %d of %d items, the last %d in %s (%s of processors)\n", done, b.total, n, took.Round(time.Millisecond), b.cpu.Round(time.Millisecond))
	}
	b.figure("cmdb.import_100k", worst.Seconds(), "s")
}

// restart opens the CMDB once more, as the suite does when it starts: until the
// first page of a list, a path and what all events are enriched from is there.
func (b *bench) restart(on *cmdb.Database, tenants *tenancy.Registry) {
	ctx := b.t.Context()
	b.s.Close()
	var err error
	start, cpu := time.Now(), processor()
	if b.s, err = cmdb.Open(ctx, on, tenants); err != nil {
		b.t.Fatal(err)
	}
	opened := time.Since(start)
	if _, err := b.s.IndexStats(ctx); err != nil {
		b.t.Fatal(err)
	}
	found := time.Since(start)
	if _, err := b.s.TopologyStats(ctx); err != nil {
		b.t.Fatal(err)
	}
	joined := time.Since(start)
	fmt.Printf("# opened again in %s, items are found after %s, paths after %s (%s of processors)\n", opened.Round(time.Millisecond), found.Round(time.Millisecond), joined.Round(time.Millisecond), (processor() - cpu).Round(time.Millisecond))
	b.figure("cmdb.start", joined.Seconds(), "s")
}

// p95 measures f n times, after some that do not count.
func (b *bench) p95(n int, f func()) float64 {
	for range n / 10 {
		f()
	}
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		b.last = 0
		f()
		if took[i] = time.Since(start); b.last > 0 {
			took[i] = b.last
		}
	}
	slices.Sort(took)
	return float64(took[n*95/100].Microseconds()) / 1000
}

// scopes are those of people who see a part: of some business lines, and of
// some resource zones. Every search and path is measured within one of them.
func (b *bench) scopes() []reach.Reach {
	tenants := reach.NewDirectory([]reach.Tenant{{Slug: "a"}}, nil)
	var out []reach.Reach
	for _, text := range []string{
		`tenant = "a" and label in ("line:line-1", "line:line-3", "line:line-5", "line:line-7", "line:line-9", "zone:z0")`,
		`label in ("zone:z0", "zone:z1", "zone:z3") or label contains "line-2"`,
	} {
		e, err := reach.Parse(text)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, e.Compile(tenants))
	}
	return out
}

// searches measures what people ask, and the worst that they might.
func (b *bench) searches() {
	ctx := b.t.Context()
	st, err := b.s.IndexStats(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Printf("# %d items with %d texts are in memory\n", st.Items, st.Texts)
	b.figure("cmdb.index_memory", float64(st.Bytes)/(1<<20), "MiB")
	expression := func(format string, args ...any) cmdb.Filter {
		return cmdb.Filter{Expression: fmt.Sprintf(format, args...)}
	}
	kinds := []func() cmdb.Filter{
		func() cmdb.Filter { return expression("instance_id = i-%08x", b.rnd.IntN(b.total)*2654435761%(1<<32)) },
		func() cmdb.Filter { return expression("address = 10.%d.%d.7", 0, b.rnd.IntN(200)) },
		func() cmdb.Filter { return expression("os ^= kylin and cpu_cores >= %d", 1<<b.rnd.IntN(7)) },
		func() cmdb.Filter { return expression("owner = 负责人%d and criticality >= 4", b.rnd.IntN(500)) },
		func() cmdb.Filter { return expression("class = vm and system = sys-%d", b.rnd.IntN(b.systems())) },
		func() cmdb.Filter { return expression("owner ^= 负责人%d and not os ~ windows", 10+b.rnd.IntN(40)) },
		func() cmdb.Filter {
			return expression("class = computer and (name = vm-%d or name = host-%d)", b.rnd.IntN(b.total), b.rnd.IntN(b.hosts()))
		},
		func() cmdb.Filter {
			return expression("owner = 负责人%d and has -runs_on-> host[name ^= host-1]", b.rnd.IntN(500))
		},
		func() cmdb.Filter {
			return expression("instance_id ~ %x or name ~ %d", b.rnd.IntN(4096), b.rnd.IntN(1000))
		},
		func() cmdb.Filter {
			return expression("not (instance_id ^= i-%x or not criticality in (2, 4))", b.rnd.IntN(16))
		},
		func() cmdb.Filter {
			return expression("not has -- network[name ~ %d] and has -runs_on-> host[has -placed_in-> cabinet[name ~ 1]]", b.rnd.IntN(10))
		},
		func() cmdb.Filter {
			return expression("system.business_line = line-%d and cpu_cores > 4", b.rnd.IntN(10))
		},
		func() cmdb.Filter { return cmdb.Filter{Query: fmt.Sprintf("vm-%d kylin", b.rnd.IntN(1000))} },
		func() cmdb.Filter { return cmdb.Filter{Query: "1"} },
		func() cmdb.Filter { return cmdb.Filter{Classes: []string{"vm", "host"}} },
		func() cmdb.Filter { return cmdb.Filter{Expression: "name exists", Sort: "-cpu_cores", Limit: 1000} },
		func() cmdb.Filter { return cmdb.Filter{Sort: "-name"} },
	}
	scopes := b.scopes()
	var slowest cmdb.Filter
	worst := time.Duration(0)
	n := 0
	// Half of them ask for the second page.
	ask := func(f cmdb.Filter) {
		n++
		within := scopes[n/2%len(scopes)]
		if n%2 == 0 {
			p, err := b.s.Items(ctx, within, f)
			if err != nil {
				b.t.Fatalf("%+v: %v", f, err)
			}
			f.Cursor = p.Next
		}
		start := time.Now()
		if _, err := b.s.Items(ctx, within, f); err != nil {
			b.t.Fatalf("%+v: %v", f, err)
		}
		took := time.Since(start)
		b.last = took
		if took > worst {
			worst, slowest = took, f
		}
	}
	for i, k := range kinds {
		f := k()
		fmt.Printf("# search %d p95 %.1f ms: %s%s%v%s\n", i, b.p95(20, func() { ask(k()) }), f.Expression, f.Query, f.Classes, f.Sort)
	}
	i := 0
	b.figure("cmdb.search_p95", b.p95(400, func() { i++; ask(kinds[i%len(kinds)]()) }), "ms")
	fmt.Printf("# the slowest search took %s: %+v\n", worst.Round(time.Millisecond), slowest)
}

func (b *bench) paths() {
	ctx := b.t.Context()
	st, err := b.s.TopologyStats(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Printf("# %d items and %d relations are in memory\n", st.Nodes, st.Edges)
	b.figure("cmdb.topology_memory", float64(st.Bytes)/(1<<20), "MiB")
	found := 0
	scopes := []cmdb.Scope{{}, {Types: []string{"runs_on", "placed_in", "belongs_to_account"}}, {Classes: []string{"vm", "host", "network"}}}
	n := 0
	within := b.scopes()
	b.figure("cmdb.path_p95", b.p95(300, func() {
		n++
		from, to := fmt.Sprintf("vm-%d", b.rnd.IntN(b.total)), fmt.Sprintf("vm-%d", b.rnd.IntN(b.total))
		p, err := b.s.KeyPath(ctx, within[n/2%len(within)], from, to, 8, scopes[n%len(scopes)])
		if errors.Is(err, cmdb.ErrNotFound) {
			return // one of them is not to be seen
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if p.Found {
			found++
		}
	}), "ms")
	fmt.Printf("# %d of %d paths were found\n", found, n)
}

// lookups measures the index that the pipeline enriches from: how soon it has
// a change, and what a lookup takes.
func (b *bench) lookups() {
	ctx := context.Background()
	before, start := memory(), time.Now()
	x := enrich.EmptyIndex()
	parts, err := b.s.Parts(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	// What goes from the centre over the bus to the engine.
	send := func(part int32) (bytes int) {
		snap, err := b.s.Part(ctx, part)
		if err != nil {
			b.t.Fatal(err)
		}
		data, err := snap.Encode()
		if err != nil {
			b.t.Fatal(err)
		}
		if snap, err = enrich.Decode(data); err != nil {
			b.t.Fatal(err)
		}
		if err := x.Update(snap); err != nil {
			b.t.Fatal(err)
		}
		return len(data)
	}
	largest := 0
	for part := range parts {
		largest = max(largest, send(part))
	}
	fmt.Printf("# the index for enrichment came about in %s; the largest of %d messages has %d bytes\n", time.Since(start).Round(time.Millisecond), parts, largest)
	b.figure("cmdb.enrichment_memory", float64(int64(memory())-int64(before))/(1<<20), "MiB")
	b.s.ChangedParts()
	n := 0
	b.figure("cmdb.change_p95", b.p95(50, func() {
		n++
		id := fmt.Sprintf("vm-%d", b.rnd.IntN(b.total))
		it, err := b.s.Get(ctx, reach.All(), id)
		if err != nil {
			b.t.Fatal(err)
		}
		it.Owner = fmt.Sprint("changed ", n)
		if _, err := b.s.Upsert(ctx, reach.All(), "bench", it); err != nil {
			b.t.Fatal(err)
		}
		for _, part := range b.s.ChangedParts() {
			send(part)
		}
	}), "ms")
	addrs := make([]netip.Addr, 4096)
	zones := make([]string, len(addrs))
	for i := range addrs {
		net := b.rnd.IntN(b.total) / 200
		zones[i] = fmt.Sprintf("z%d", net%4)
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(net / 4 >> 8), byte(net / 4), byte(1 + b.rnd.IntN(200))})
	}
	i, known := 0, 0
	r := testing.Benchmark(func(tb *testing.B) {
		tb.ReportAllocs()
		for tb.Loop() {
			if _, ok := x.Tenant(zones[i%len(addrs)], addrs[i%len(addrs)], ""); ok {
				known++
			}
			i++
		}
	})
	if known < i/2 {
		b.t.Errorf("%d of %d addresses were known", known, i)
	}
	if n := r.AllocsPerOp(); n != 0 {
		b.t.Errorf("a lookup allocates %d times", n)
	}
	b.figure("cmdb.lookup", float64(r.T.Nanoseconds())/float64(r.N), "ns")
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
