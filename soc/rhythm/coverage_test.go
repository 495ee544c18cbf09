package rhythm

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/rhythm/beat"
)

func sourceOf(tenant, system, name, dataset, state string) Source {
	at := monday.Add(time.Hour)
	s := Source{ID: name + dataset, Key: beat.Key{Tenant: tenant, Dataset: dataset, Source: name}, Facts: beat.Facts{System: system, SystemName: system}, State: state,
		FirstSeen: monday, LastSeen: at, Rate: 1, Usual: 2}
	if state == Silent || state == Flood {
		s.Since = &at
	}
	return s
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	silent := sourceOf("tax", "电子税务", "web-1", "nginx.access", Silent)
	silent.ItemName, silent.Item, silent.Owner = "门户前端", "h1", "张三"
	got := Alarms([]Source{silent, sourceOf("tax", "电子税务", "web-1", "nginx.error", Silent), sourceOf("tax", "电子税务", "web-1", "linux.auth", OK), sourceOf("city", "", "fw", "x", Flood), sourceOf("city", "", "new", "x", New)})
	if len(got) != 2 || got[0].Kind != "source-silent" || got[0].Key != "source-silent/tax/web-1" || got[1].Kind != "source-flood" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"电子税务", "门户前端 (web-1)", "nginx.access, nginx.error", "张三", "其他类型日志正常"} {
		if !strings.Contains(got[0].Detail.ZH, want) {
			t.Errorf("%q lacks %q", got[0].Detail.ZH, want)
		}
	}
	if f := got[0].Fields; f["system"] != "电子税务" || f["owner"] != "张三" || f["item"] != "h1" || f["tenant"] != "tax" {
		t.Errorf("%v", f)
	}
	var many []Source
	for i := range 30 {
		many = append(many, sourceOf("tax", "", fmt.Sprint("h", i), "x", Silent))
	}
	if got := Alarms(many); len(got) != 1 || got[0].Severity != detections.High || got[0].Fields["sources"] != "30" {
		t.Errorf("%+v", got)
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	web := sourceOf("tax", "bs1", "web-1", "nginx.access", OK)
	web.Item = "h1"
	list := []Source{web, sourceOf("tax", "bs1", "db-1", "postgresql.log", Silent), sourceOf("tax", "", "10.0.0.9", "cisco.asa", OK)}
	tenants, systems := Parts(list, []string{"health", "tax"})
	if len(tenants) != 2 || tenants[0].Tenant != "health" || tenants[0].Sources != 0 || tenants[0].Last != nil || tenants[1].Sources != 3 || tenants[1].Silent != 1 || tenants[1].Datasets != 3 || tenants[1].Rate != 3 {
		t.Errorf("%+v", tenants)
	}
	if len(systems) != 1 || systems[0].System != "bs1" || systems[0].Sources != 2 {
		t.Errorf("%+v", systems)
	}
	asset := func(id, class, system string, names ...string) Asset {
		return Asset{ID: id, Name: id, Class: class, Tenant: "tax", System: system, Names: names}
	}
	got := Gaps(list, []Asset{asset("h1", "host", "bs1"), asset("h2", "host", "bs1", "h2"), asset("h3", "vm", "bs1", "db-1"), asset("d1", "database", "bs1"), asset("d2", "database", "bs2"),
		asset("m1", "middleware", "bs1"), asset("f1", "security_device", "", "10.0.0.9"), asset("s1", "network_device", "", "10.0.0.8"), asset("r1", "room", "")})
	want := []Gap{{"tax", "", NetworkLog, 1, 1, []string{"s1"}}, {"tax", "bs1", HostLog, 1, 3, []string{"h2"}}, {"tax", "bs2", DatabaseLog, 1, 1, []string{"d2"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
