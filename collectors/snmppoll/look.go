package snmppoll

import (
	"slices"
	"strconv"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/soc/metrics"
)

// figures are what a look at a device brings.
type figures struct {
	d      *device
	series []metrics.Series
	at     int64
	info   info
	errs   []error
}

// info is what a device says of itself.
type info struct{ name, descr, objectID string }

// descriptions are the metrics of the templates, with help and type.
var descriptions = []metrics.Description{
	{Metric: "snmp_up", Type: "gauge", Help: "Whether the device answered at the last look: 1 or 0."},
	{Metric: "snmp_look_duration_seconds", Type: "gauge", Help: "How long the last look at the device took.", Unit: "seconds"},
	{Metric: "snmp_device_info", Type: "gauge", Help: "1, with what the device says of itself as labels."},
	{Metric: "snmp_uptime_seconds", Type: "gauge", Help: "Time since the device's SNMP agent started.", Unit: "seconds"},
	{Metric: "snmp_interface_up", Type: "gauge", Help: "Whether the interface works (ifOperStatus up): 1 or 0."},
	{Metric: "snmp_interface_admin_up", Type: "gauge", Help: "Whether the interface is switched on (ifAdminStatus up): 1 or 0."},
	{Metric: "snmp_interface_speed_bits", Type: "gauge", Help: "Bits a second that the interface can carry."},
	{Metric: "snmp_interface_in_bytes_total", Type: "counter", Help: "Bytes received.", Unit: "bytes"},
	{Metric: "snmp_interface_out_bytes_total", Type: "counter", Help: "Bytes sent.", Unit: "bytes"},
	{Metric: "snmp_interface_in_unicast_packets_total", Type: "counter", Help: "Unicast packets received."},
	{Metric: "snmp_interface_out_unicast_packets_total", Type: "counter", Help: "Unicast packets sent."},
	{Metric: "snmp_interface_in_discards_total", Type: "counter", Help: "Packets received and thrown away without an error."},
	{Metric: "snmp_interface_out_discards_total", Type: "counter", Help: "Packets to be sent and thrown away without an error."},
	{Metric: "snmp_interface_in_errors_total", Type: "counter", Help: "Packets received with errors."},
	{Metric: "snmp_interface_out_errors_total", Type: "counter", Help: "Packets that could not be sent because of errors."},
	{Metric: "snmp_cpu_utilization_ratio", Type: "gauge", Help: "Load of a processor over the last minute (hrProcessorLoad), from 0 to 1."},
	{Metric: "snmp_cpu_seconds_total", Type: "counter", Help: "Time of all processors by mode (UCD-SNMP-MIB).", Unit: "seconds"},
	{Metric: "snmp_load", Type: "gauge", Help: "Load average over the minutes of the label (UCD-SNMP-MIB)."},
	{Metric: "snmp_memory_bytes", Type: "gauge", Help: "Memory by kind: total, available, buffers, cached, swap_total, swap_available.", Unit: "bytes"},
	{Metric: "snmp_storage_size_bytes", Type: "gauge", Help: "Size of a storage (hrStorageTable).", Unit: "bytes"},
	{Metric: "snmp_storage_used_bytes", Type: "gauge", Help: "What of a storage is used.", Unit: "bytes"},
	{Metric: "snmp_processes", Type: "gauge", Help: "Processes that run (hrSystemProcesses)."},
	{Metric: "snmp_users", Type: "gauge", Help: "Users who are signed in (hrSystemNumUsers)."},
}

// add adds a sample. labels are pairs of name and value.
func (f *figures) add(metric string, value float64, labels ...string) {
	list := make([]metrics.Label, 0, 3+len(labels)/2)
	list = append(list, metrics.Label{Name: metrics.LabelName, Value: metric}, metrics.Label{Name: "host", Value: f.d.name})
	if f.d.cfg.Zone != "" {
		list = append(list, metrics.Label{Name: "zone", Value: f.d.cfg.Zone})
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if labels[i+1] != "" {
			list = append(list, metrics.Label{Name: labels[i], Value: labels[i+1]})
		}
	}
	f.series = append(f.series, metrics.Series{Labels: list, Samples: []metrics.Sample{{Time: f.at, Value: value}}})
}

func (f *figures) failed(err error) {
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

const (
	sysDescr    = "1.3.6.1.2.1.1.1.0"
	sysObjectID = "1.3.6.1.2.1.1.2.0"
	sysUpTime   = "1.3.6.1.2.1.1.3.0"
	sysName     = "1.3.6.1.2.1.1.5.0"
)

// look asks a device for all that is wanted. The error says that it does not
// answer at all; what it does not have, or answers wrongly, is left out and named
// in errs.
func (d *device) look(s *session) (f *figures, err error) {
	f = &figures{d: d, at: time.Now().UnixMilli()}
	v, err := s.get(sysUpTime, sysName, sysDescr, sysObjectID)
	if err != nil {
		return f, err
	}
	if x, ok := v[sysName]; ok {
		f.info.name = text(&x)
	}
	if x, ok := v[sysDescr]; ok {
		f.info.descr = text(&x)
	}
	if x, ok := v[sysObjectID]; ok {
		f.info.objectID = text(&x)
	}
	if x, ok := v[sysUpTime]; ok {
		if n, is := x.Value.(uint32); is {
			// After 497 days it wraps itself; then counters seem to start anew, once.
			if n < d.uptime {
				clear(d.counters)
			}
			d.uptime = n
		}
	}
	for _, t := range d.cfg.Templates {
		switch t {
		case "system":
			f.system(s)
		case "interfaces":
			f.interfaces(s)
		case "cpu":
			f.cpu(s)
		case "memory":
			f.memory(s)
		case "storage":
			f.storage(s)
		}
	}
	for i := range d.checked.objects {
		f.object(s, &d.checked.objects[i])
	}
	return f, nil
}

// single asks for single values and calls f for each number, in the order asked.
func (f *figures) single(s *session, oids []string, each func(i int, n float64)) {
	got, err := s.get(oids...)
	f.failed(err)
	for i, oid := range oids {
		if v, ok := got[oid]; ok {
			if n, ok := number(&v); ok {
				each(i, n)
			}
		}
	}
}

func (f *figures) system(s *session) {
	f.add("snmp_device_info", 1, "name", f.info.name, "description", f.info.descr, "object_id", f.info.objectID)
	f.add("snmp_uptime_seconds", float64(f.d.uptime)/100)
	f.single(s, []string{"1.3.6.1.2.1.25.1.6.0", "1.3.6.1.2.1.25.1.5.0"}, func(i int, n float64) {
		f.add([]string{"snmp_processes", "snmp_users"}[i], n)
	})
}

// texts reads a column of labels.
func (f *figures) texts(s *session, oid string) map[string]string {
	out := map[string]string{}
	f.failed(s.column(oid, func(index string, v *gosnmp.SnmpPDU) { out[index] = text(v) }))
	return out
}

// numbers reads a column of figures.
func (f *figures) numbers(s *session, oid string) map[string]float64 {
	out := map[string]float64{}
	f.failed(s.column(oid, func(index string, v *gosnmp.SnmpPDU) {
		if n, ok := number(v); ok {
			out[index] = n
		}
	}))
	return out
}

const (
	ifEntry  = "1.3.6.1.2.1.2.2.1."
	ifXEntry = "1.3.6.1.2.1.31.1.1.1."
)

// interfaceCounters are the counters of interfaces: the column of 64 bits,
// where there is one, and that of 32 bits.
var interfaceCounters = []struct{ metric, wide, narrow string }{
	{"snmp_interface_in_bytes_total", ifXEntry + "6", ifEntry + "10"},
	{"snmp_interface_out_bytes_total", ifXEntry + "10", ifEntry + "16"},
	{"snmp_interface_in_unicast_packets_total", ifXEntry + "7", ifEntry + "11"},
	{"snmp_interface_out_unicast_packets_total", ifXEntry + "11", ifEntry + "17"},
	{"snmp_interface_in_discards_total", "", ifEntry + "13"},
	{"snmp_interface_out_discards_total", "", ifEntry + "19"},
	{"snmp_interface_in_errors_total", "", ifEntry + "14"},
	{"snmp_interface_out_errors_total", "", ifEntry + "20"},
}

func (f *figures) interfaces(s *session) {
	names, descr, alias := f.texts(s, ifXEntry+"1"), f.texts(s, ifEntry+"2"), f.texts(s, ifXEntry+"18")
	labels := func(index string) []string {
		name := names[index]
		if name == "" {
			name = descr[index]
		}
		if name == "" {
			name = index
		}
		return []string{"interface", name, "index", index, "alias", alias[index]}
	}
	add := func(metric string, values map[string]float64, as func(float64) float64) {
		for index, v := range values {
			f.add(metric, as(v), labels(index)...)
		}
	}
	up := func(v float64) float64 { return boolean(v == 1) }
	add("snmp_interface_admin_up", f.numbers(s, ifEntry+"7"), up)
	add("snmp_interface_up", f.numbers(s, ifEntry+"8"), up)
	wide, narrow := f.numbers(s, ifXEntry+"15"), f.numbers(s, ifEntry+"5")
	for index, v := range narrow {
		// ifSpeed ends at 4.3 Gbit/s; ifHighSpeed counts millions.
		if high := wide[index]; high > 0 && (v >= 1<<32-1 || high*1e6 > v) {
			v = high * 1e6
		}
		f.add("snmp_interface_speed_bits", v, labels(index)...)
	}
	for _, c := range interfaceCounters {
		have := map[string]float64{}
		if c.wide != "" && f.d.cfg.Version != "1" { // Version 1 has no 64-bit counters.
			have = f.numbers(s, c.wide)
		}
		if len(have) == 0 {
			f.failed(s.column(c.narrow, func(index string, v *gosnmp.SnmpPDU) {
				if n, ok := number(v); ok && n >= 0 && n < 1<<32 {
					have[index] = f.d.carry(c.narrow+"."+index, uint32(n))
				}
			}))
		}
		add(c.metric, have, func(v float64) float64 { return v })
	}
}

const ucd = "1.3.6.1.4.1.2021."

func (f *figures) cpu(s *session) {
	for index, v := range f.numbers(s, "1.3.6.1.2.1.25.3.3.1.2") {
		f.add("snmp_cpu_utilization_ratio", v/100, "cpu", index)
	}
	modes := []string{"user", "nice", "system", "idle", "iowait"}
	f.single(s, []string{ucd + "11.50.0", ucd + "11.51.0", ucd + "11.52.0", ucd + "11.53.0", ucd + "11.54.0"}, func(i int, n float64) {
		if n >= 0 && n < 1<<32 { // Ticks of a hundredth of a second, in 32 bits.
			f.add("snmp_cpu_seconds_total", f.d.carry("cpu."+modes[i], uint32(n))/100, "mode", modes[i])
		}
	})
	f.single(s, []string{ucd + "10.1.5.1", ucd + "10.1.5.2", ucd + "10.1.5.3"}, func(i int, n float64) {
		f.add("snmp_load", n/100, "minutes", []string{"1", "5", "15"}[i])
	})
}

func (f *figures) memory(s *session) {
	kinds := []string{"total", "available", "buffers", "cached", "swap_total", "swap_available"}
	f.single(s, []string{ucd + "4.5.0", ucd + "4.6.0", ucd + "4.14.0", ucd + "4.15.0", ucd + "4.3.0", ucd + "4.4.0"}, func(i int, n float64) {
		f.add("snmp_memory_bytes", n*1024, "kind", kinds[i])
	})
}

const hrStorage = "1.3.6.1.2.1.25.2.3.1."

// storageTypes are the kinds of HOST-RESOURCES-TYPES.
var storageTypes = map[string]string{"1": "other", "2": "ram", "3": "virtual_memory", "4": "fixed_disk", "5": "removable_disk", "6": "floppy_disk", "7": "compact_disc", "8": "ram_disk", "9": "flash_memory", "10": "network_disk"}

func (f *figures) storage(s *session) {
	descr, kinds := f.texts(s, hrStorage+"3"), f.texts(s, hrStorage+"2")
	units, size, used := f.numbers(s, hrStorage+"4"), f.numbers(s, hrStorage+"5"), f.numbers(s, hrStorage+"6")
	for index, n := range size {
		kind := kinds[index]
		if i := len("1.3.6.1.2.1.25.2.1."); len(kind) > i {
			kind = storageTypes[kind[i:]]
		}
		labels := []string{"storage", descr[index], "index", index, "kind", kind}
		// Sizes beyond 2 G units are told as negative numbers by some agents.
		whole := func(v float64) float64 {
			if v < 0 {
				v += 1 << 32
			}
			return v * units[index]
		}
		f.add("snmp_storage_size_bytes", whole(n), labels...)
		if u, ok := used[index]; ok {
			f.add("snmp_storage_used_bytes", whole(u), labels...)
		}
	}
}

// object asks for one of the further objects.
func (f *figures) object(s *session, o *object) {
	labels := make([]map[string]string, len(o.labels))
	for i, l := range o.labels {
		labels[i] = f.texts(s, l.oid)
	}
	take := func(index string, v *gosnmp.SnmpPDU) {
		n, ok := number(v)
		if !ok {
			return
		}
		if o.counter && v.Type == gosnmp.Counter32 && n >= 0 && n < 1<<32 {
			n = f.d.carry(o.metric+" "+o.oid+"."+index, uint32(n))
		}
		pairs := []string{"index", index}
		for i, l := range o.labels {
			if value := labels[i][index]; value != "" {
				pairs = append(slices.Clip(pairs), l.name, value)
			}
		}
		if slices.Contains(pairs[2:], "index") {
			pairs = pairs[2:] // A label of that name was asked for.
		}
		f.add(o.metric, n, pairs...)
	}
	if n := len(o.oid); n > 2 && o.oid[n-2:] == ".0" {
		got, err := s.get(o.oid)
		f.failed(err)
		if v, ok := got[o.oid]; ok {
			take("", &v)
		}
		return
	}
	f.failed(s.column(o.oid, take))
}

// render is a series as a line of text.
func render(s *metrics.Series) string {
	out := s.Name() + "{"
	for i, l := range s.Labels {
		if l.Name == metrics.LabelName {
			continue
		}
		if i > 1 {
			out += ","
		}
		out += l.Name + "=" + strconv.Quote(l.Value)
	}
	return out + "} " + strconv.FormatFloat(s.Samples[0].Value, 'f', -1, 64)
}
