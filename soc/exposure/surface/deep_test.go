package surface

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
)

// What is read on a host is its own: numbers become metrics, programs are listed, and of
// what is none of either nothing is kept.
func TestDeepReading(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		var measured []SurfaceHost
		w.Samples = func(_ context.Context, tenant string, at time.Time, hosts []SurfaceHost) error {
			if tenant != "a" || at.IsZero() {
				w.t.Errorf("%s, %s", tenant, at)
			}
			measured = hosts
			return nil
		}
		x := read(seen("10.0.0.50", "", "db-50", 22), "kernel", "6.1.0")
		raw := func(name, value string) {
			x.Attributes = append(x.Attributes, wire.Attribute{Address: x.Address, Name: name, Value: json.RawMessage(value), Source: "ssh"})
		}
		raw(wire.AttributeMetrics, `{"load1":0.5,"Bad Name":1,"uptime_seconds":7}`)
		raw(wire.AttributeMetrics, `["no object"]`)
		raw("services", `[{"address":"127.0.0.1","port":"6379","program":"redis-server","version":"Redis server v=7.0.15"}]`)
		raw("software", `[{"name":"bash"}]`)
		w.see("t", "default", scan.Create, x, seen("10.0.0.51", "", "", 22))
		list, _, err := w.Hosts(w.t.Context(), reach.Tenants("a"), HostQuestion{Words: "db-50", Limit: 5})
		if err != nil || len(list) != 1 {
			w.t.Fatal(list, err)
		}
		h := list[0]
		if len(h.Metrics) != 2 || h.Metrics["load1"] != 0.5 || len(h.Programs) != 1 || h.Programs[0] != (SurfaceProgram{"127.0.0.1", 6379, "redis-server", "Redis server v=7.0.15"}) || len(h.Attributes) != 1 {
			w.t.Errorf("%+v", h)
		}
		if len(measured) != 1 || measured[0].Address != "10.0.0.50" || measured[0].Item == "" || measured[0].Metrics["uptime_seconds"] != 7 {
			w.t.Errorf("%+v", measured)
		}
		// A discovery from outside leaves what was read, and measures nothing.
		measured = nil
		w.see("t", "default", scan.Create, seen("10.0.0.50", "", "db-50", 22))
		if list, _, _ := w.Hosts(w.t.Context(), reach.All(), HostQuestion{Words: "db-50", Limit: 5}); len(list) != 1 || list[0].Metrics["load1"] != 0.5 || len(list[0].Programs) != 1 || measured != nil {
			w.t.Errorf("%+v, %v", list, measured)
		}
	})
}
