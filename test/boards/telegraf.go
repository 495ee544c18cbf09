package boards

import (
	"context"
	"strings"

	"github.com/klauspost/compress/snappy"

	"icewatch/soc/metrics"
)

// measure writes what Telegraf measures, for as long as the second round may take
// on a machine that has much to do: gauges that stand, and counters that grow by
// so much a second.
func (w *World) measure(ctx context.Context) error {
	for tenant, list := range w.samples {
		var series []metrics.Series
		for _, m := range list {
			one := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: m.name}}}
			for pair := range strings.SplitSeq(m.labels, ",") {
				name, value, _ := strings.Cut(pair, "=")
				one.Labels = append(one.Labels, metrics.Label{Name: name, Value: value})
			}
			for at := w.from.Add(-4 * step); at.Before(w.from.Add(12 * step)); at = at.Add(step) {
				one.Samples = append(one.Samples, metrics.Sample{Time: at.UnixMilli(), Value: m.value + m.slope*at.Sub(w.from).Seconds()})
			}
			series = append(series, one)
		}
		if err := w.write(ctx, tenant, series...); err != nil {
			return err
		}
	}
	return nil
}

// measureMore writes samples within the times asked.
func (w *World) measureMore(ctx context.Context) error {
	one := metrics.Series{Labels: []metrics.Label{{Name: "__name__", Value: "boards_more"}}}
	for n := range moreSamples {
		one.Samples = append(one.Samples, metrics.Sample{Time: w.from.UnixMilli() + int64(n), Value: 1})
	}
	return w.write(ctx, hostTenant, one)
}

// write writes series of a tenant by remote write.
func (w *World) write(ctx context.Context, tenant string, series ...metrics.Series) error {
	return w.send(ctx, "/prometheus/api/v1/write", tenant, "application/x-protobuf", snappy.Encode(nil, metrics.Encode(series)),
		"Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0")
}

// measure is one series: a counter's value is that at the beginning.
type measure struct {
	name, labels string
	value, slope float64
}

const (
	hostA = "host=web-1"
	hostB = "host=db-1"
	pg    = "server=10.64.0.5,db=licence"
	mysql = "server=10.64.0.6:3306"
	redis = "server=10.64.0.7,port=6379"
	nginx = "server=10.64.0.8,port=80"
	cat   = "source=http://10.64.0.9:8080"
	hare  = "url=http://10.64.0.10:15672"
)

// measured is by tenant.
var measured = map[string][]measure{
	hostTenant: {
		{"system_uptime", hostA, 90_000, 1}, {"system_load1", hostA, 2, 0}, {"system_n_cpus", hostA, 4, 0},
		{"cpu_usage_idle", hostA + ",cpu=cpu-total", 30, 0}, {"cpu_usage_idle", hostA + ",cpu=cpu0", 1, 0}, {"cpu_usage_iowait", hostA + ",cpu=cpu-total", 7, 0},
		{"mem_used_percent", hostA, 61.5, 0}, {"mem_available", hostA, 4e9, 0}, {"mem_swap_free", hostA, 3.75e9, 0}, {"mem_swap_total", hostA, 4e9, 0},
		{"disk_used_percent", hostA + ",path=/,fstype=ext4", 88, 0}, {"disk_used_percent", hostA + ",path=/run,fstype=tmpfs", 99, 0}, {"disk_free", hostA + ",path=/,fstype=ext4", 1e10, 0},
		{"diskio_read_bytes", hostA + ",name=vda", 1e9, 2000}, {"diskio_write_bytes", hostA + ",name=vda", 1e9, 3000}, {"diskio_write_bytes", hostA + ",name=vdb", 1e9, 500},
		{"net_bytes_recv", hostA + ",interface=eth0", 1e9, 10_000}, {"net_bytes_sent", hostA + ",interface=eth0", 1e9, 4000}, {"net_bytes_recv", hostA + ",interface=all", 1e9, 10_000},
		{"net_err_in", hostA + ",interface=eth0", 5, 1}, {"net_drop_in", hostA + ",interface=eth0", 7, 2}, {"processes_total", hostA, 214, 0}, {"processes_zombies", hostA, 2, 0},
		{"nginx_active", nginx, 40, 0}, {"nginx_requests", nginx, 1e6, 25}, {"nginx_reading", nginx, 1, 0}, {"nginx_writing", nginx, 6, 0}, {"nginx_waiting", nginx, 33, 0},
		{"nginx_accepts", nginx, 5000, 0}, {"nginx_handled", nginx, 4997, 0},
		{"tomcat_connector_current_threads_busy", cat + ",name=http-nio-8080", 50, 0}, {"tomcat_connector_max_threads", cat + ",name=http-nio-8080", 200, 0},
		{"tomcat_connector_request_count", cat + ",name=http-nio-8080", 1e5, 8}, {"tomcat_connector_error_count", cat + ",name=http-nio-8080", 100, 0.5},
		{"tomcat_jvm_memory_free", cat, 3e8, 0}, {"tomcat_jvm_memory_max", cat, 1.2e9, 0},
		{"rabbitmq_overview_messages_ready", hare, 12, 0}, {"rabbitmq_overview_messages_unacked", hare, 3, 0}, {"rabbitmq_overview_messages_published", hare, 1e6, 14},
		{"rabbitmq_overview_consumers", hare, 9, 0}, {"rabbitmq_overview_connections", hare, 17, 0},
	},
	otherTenant: {
		{"system_uptime", hostB, 500, 1}, {"system_load1", hostB, 6, 0}, {"system_n_cpus", hostB, 8, 0},
		{"cpu_usage_idle", hostB + ",cpu=cpu-total", 90, 0}, {"cpu_usage_iowait", hostB + ",cpu=cpu-total", 1, 0}, {"mem_used_percent", hostB, 40, 0}, {"mem_available", hostB, 9e9, 0},
		{"mem_swap_free", hostB, 2e9, 0}, {"mem_swap_total", hostB, 2e9, 0}, {"disk_used_percent", hostB + ",path=/data,fstype=xfs", 20, 0}, {"disk_free", hostB + ",path=/data,fstype=xfs", 5e11, 0},
		{"diskio_read_bytes", hostB + ",name=sda", 1e9, 100}, {"diskio_write_bytes", hostB + ",name=sda", 1e9, 200}, {"net_bytes_recv", hostB + ",interface=eth0", 1e9, 70},
		{"net_bytes_sent", hostB + ",interface=eth0", 1e9, 80}, {"net_err_in", hostB + ",interface=eth0", 0, 0}, {"net_drop_in", hostB + ",interface=eth0", 0, 0},
		{"processes_total", hostB, 100, 0}, {"processes_zombies", hostB, 0, 0},
		{"postgresql_numbackends", pg, 21, 0}, {"postgresql_numbackends", "server=10.64.0.5,db=template1", 1, 0}, {"postgresql_xact_commit", pg, 1e6, 40}, {"postgresql_xact_rollback", pg, 1e3, 2},
		{"postgresql_blks_hit", pg, 9e6, 0}, {"postgresql_blks_read", pg, 1e6, 0}, {"postgresql_deadlocks", pg, 4, 0}, {"postgresql_temp_bytes", pg, 1e8, 0},
		{"mysql_uptime", mysql, 1e5, 1}, {"mysql_threads_connected", mysql, 33, 0}, {"mysql_threads_running", mysql, 5, 0}, {"mysql_queries", mysql, 1e7, 120}, {"mysql_slow_queries", mysql, 50, 0.2},
		{"mysql_bytes_received", mysql, 1e9, 700}, {"mysql_bytes_sent", mysql, 1e9, 900},
		{"redis_uptime", redis, 1e5, 1}, {"redis_clients", redis, 12, 0}, {"redis_used_memory", redis, 5e8, 0}, {"redis_total_commands_processed", redis, 1e8, 333}, {"redis_keyspace_hitrate", redis, 0.93, 0},
		{"redis_evicted_keys", redis, 6, 0}, {"redis_rejected_connections", redis, 1, 0},
	},
}
