package boards

// jitter is by how much a speed may be off: the figures are taken once a second,
// and the first and the last of the times asked need not be the very ends.
const jitter = 0.08

// offered is what variables have to offer at least.
var offered = map[string]func(w *World) []string{
	"tenant/tenant":     func(w *World) []string { return w.slugs },
	"hosts/tenant":      func(*World) []string { return []string{hostTenant, otherTenant} },
	"hosts/host":        func(*World) []string { return []string{"web-1"} },
	"databases/tenant":  func(*World) []string { return []string{otherTenant} },
	"databases/server":  func(*World) []string { return []string{"10.64.0.5", "10.64.0.6:3306", "10.64.0.7"} },
	"middleware/tenant": func(*World) []string { return []string{hostTenant} },
	"traces/service":    func(*World) []string { return []string{"seal-api"} },
}

func openAlerts(of func(a sent) string, name string) expect {
	return list(func(w *World, v values) want {
		m := w.open(v, of)
		if name == "" {
			return one(sum(m))
		}
		return by(name, m)
	})
}

func raisedAlerts(of func(a sent) string, name string) expect {
	return list(func(w *World, _ values) want {
		m := w.raised(of)
		if name == "" {
			return one(sum(m))
		}
		return by(name, m)
	})
}

// raisedMost are the tenants with the most alerts.
var raisedMost = list(func(w *World, _ values) want { return top(by("tenant", w.raised(tenant)).values, 10) })

func openIncidents(name string, of func(tenant, state string) string) expect {
	return list(func(w *World, v values) want {
		m := w.incidentsBy(v, of)
		if name == "" {
			return one(sum(m))
		}
		return by(name, m)
	})
}

func nothing(string, string) string    { return "" }
func byState(_, state string) string   { return state }
func byTenant(tenant, _ string) string { return tenant }
func inTime(string, string) string     { return "ok" }
func ofSeverity(string, string) string { return "critical" }
func events(pick func(d *document) bool, fields ...string) expect {
	return list(func(w *World, _ values) want { return top(w.count(pick, fields...), 10) })
}

func bytesOf(fields ...string) expect {
	return list(func(w *World, _ values) want {
		return top(w.total(has("event.category", "network"), func(d *document) float64 { return d.bytes }, fields...), 10)
	})
}

// ours are the events that were driven, of a tenant of the catalogue.
func ours(d *document) bool { return d.tenant != "city" && d.tenant != "unassigned" }

// rules are the alerts of the last day by rule.
func rules(w *World, _ values) want {
	out := map[string]float64{}
	for k, v := range w.shown("icewatch_rule_alerts_last_day") {
		out[k] = v
	}
	if sum(out) != sum(w.raised(all)) {
		return one(sum(w.raised(all))) // which tells what is wrong
	}
	return of(out)
}

// pageOf adds up a metric of the page for the chosen tenants.
func pageOf(name string) expect {
	return list(func(w *World, v values) want {
		n := 0.0
		for k, x := range w.shown(name) {
			if chosen(v, k[len("tenant="):]) {
				n += x
			}
		}
		return one(n)
	})
}

func pair(x ...expect) expect {
	return func(w *World, v values) (out []want) {
		for _, f := range x {
			out = append(out, f(w, v)...)
		}
		return out
	}
}

var acknowledged = list(func(w *World, v values) want { a, _ := w.took(v); return mean(a) })
var resolved = list(func(w *World, v values) want { _, r := w.took(v); return mean(r) })

// ofTenants are the panels that a tenant's dashboard and a domain's share.
var ofTenants = map[string]expect{
	"Events today":                      list(func(w *World, v values) want { return one(sum(w.today(v))) }),
	"Bytes today":                       pageOf("icewatch_tenant_day_bytes"),
	"Open alerts":                       openAlerts(all, ""),
	"Open incidents":                    openIncidents("", nothing),
	"Mean time to acknowledge, 30 days": acknowledged,
	"Mean time to resolve, 30 days":     resolved,
	"Open alerts by severity":           openAlerts(severity, "severity"),
	"Incidents by state of their clock": openIncidents("state", inTime),
	"Events a second": list(func(w *World, v values) want {
		return by("tenant", w.speeds(w.count(func(d *document) bool { return ours(d) && chosen(v, d.tenant) }, "icewatch.tenant"))).within(jitter)
	}),
	"Logs by level": list(func(w *World, v values) want {
		return top(w.count(func(d *document) bool { return chosen(v, d.tenant) }, "log.level"), 10)
	}),
	"Failures by host": list(func(w *World, v values) want {
		return top(w.count(func(d *document) bool { return chosen(v, d.tenant) && d.fields["event.outcome"] == "failure" }, "host.name"), 10)
	}),
	"Sources that speak most": list(func(w *World, v values) want {
		return top(w.count(func(d *document) bool { return chosen(v, d.tenant) }, "source.ip"), 10)
	}),
	"CPU used": list(func(w *World, v values) want {
		out := w.measured(v, "cpu_usage_idle", labelled("cpu", "cpu-total"), w.last, "host")
		for k := range out {
			out[k] = 100 - out[k]
		}
		return of(out)
	}),
	"Memory used": gauge("mem_used_percent", every, "host"),
	"Logs": list(func(w *World, v values) want {
		return one(min(200, sum(w.count(func(d *document) bool { return chosen(v, d.tenant) }))))
	}),
}

// costly is the label of the rule that costs most.
const costly = "rule=0b0f6a35-7f2c-4d18-9a0e-4c5d1f6f9b12"

// expectations say what each panel must show, by dashboard and title.
var expectations = map[string]map[string]expect{
	"domain": {
		"Open alerts by tenant":  openAlerts(tenant, "tenant"),
		"Events today by tenant": list(func(w *World, v values) want { return by("tenant", w.today(v)) }),
	},
	"tenant": {},
	"overview": {
		"Engine":                  fixed(one(1)),
		"Events a second":         list(func(w *World, _ values) want { return one(w.speed(sum(w.count(anything)))).within(0.1) }),
		"Open alerts":             openAlerts(all, ""),
		"Open incidents":          openIncidents("", nothing),
		"Incidents past due":      fixed(one(0)),
		"Rules in force":          page("icewatch_rules_in_force"),
		"Open alerts by severity": openAlerts(severity, "severity"),
		"Open incidents by state": openIncidents("state", byState),
		"Tenants with the most alerts in 24 hours": raisedMost,
		"Rules with the most alerts in 24 hours":   list(rules),
		"Events a second by tenant": list(func(w *World, _ values) want {
			// Which of equal ones are the nine is open, and the suite's own log may be among them.
			return by("tenant", w.speeds(w.count(ours, "icewatch.tenant"))).any(7).within(jitter)
		}),
		"What is wrong with the suite": series("icewatch_condition"),
		"Alerts that fire":             openAlerts(severity, "severity"),
	},
	"tenants": {
		"Tenants with events today": list(func(w *World, _ values) want {
			n := 0.0
			for _, v := range w.shown("icewatch_tenant_day_events") {
				if v > 0 {
					n++
				}
			}
			if n < float64(len(w.slugs)) {
				n = float64(len(w.slugs))
			}
			return one(n)
		}),
		"Events today":             about(0.02, page("icewatch_tenant_day_events")),
		"Bytes today":              about(0.02, page("icewatch_tenant_day_bytes")),
		"Tenants with open alerts": list(func(w *World, v values) want { return one(float64(len(w.open(v, tenant)))) }),
		"Applications": pair(
			list(func(w *World, v values) want { return by("tenant", w.today(v)).more() }),
			about(0.02, series("icewatch_tenant_day_bytes")),
			openAlerts(tenant, "tenant"), openIncidents("tenant", byTenant), fixed(of(nil))),
		"Events a second by tenant": list(func(w *World, _ values) want {
			return by("tenant", w.speeds(w.count(ours, "icewatch.tenant"))).more().within(jitter)
		}),
		"Open alerts by tenant": openAlerts(tenant, "tenant"),
		"Quota used": list(func(w *World, _ values) want {
			return by("tenant", map[string]float64{webTenant: w.today(values{})[webTenant] / quota})
		}),
		"Failures by tenant": events(has("event.outcome", "failure"), "icewatch.tenant"),
	},
	"intake": {
		"Records a second":  list(func(w *World, _ values) want { return one(w.speed(sum(w.count(anything)))).within(0.1) }),
		"Lag":               fixed(one(5).bounded()),
		"Waiting":           fixed(one(64 << 10).bounded()),
		"Events lost":       fixed(one(0)),
		"Refused for quota": fixed(one(0)),
		"Events not stored": fixed(one(0)),
		"Events a second by way in": list(func(w *World, _ values) want {
			bulk := sum(w.count(ours))
			return by("collector", map[string]float64{"elastic-bulk": w.speed(bulk), "syslog-tcp": w.speed(lines)}).more().within(jitter)
		}),
		"Bytes a second by way in": list(func(w *World, _ values) want {
			out := map[string]float64{}
			for k, v := range w.shown("icewatch_collector_bytes_total") {
				if k == "collector=elastic-bulk" {
					out[k] = w.speed(v / 2) // both rounds brought the same
				}
			}
			return of(out).more().within(2 * jitter)
		}),
		"Rejected by way in": list(func(w *World, _ values) want {
			out := w.shown("icewatch_collector_rejected_total")
			out["collector=netflow"] = 1
			return of(out)
		}),
		"Lost by reason":      series("icewatch_intake_dropped_events_total"),
		"Senders that send":   list(func(w *World, _ values) want { return one(w.shown("icewatch_sources")["state=active"]).within(0.1) }),
		"Senders gone silent": fixed(one(0)),
		"Senders that send most": list(func(w *World, _ values) want {
			out := map[string]float64{"collector=syslog-tcp,peer=127.0.0.1": 2*lines + costlyLines}
			for slug, n := range w.today(values{}) {
				out["collector=elastic-bulk,peer=127.0.0.1,tenant="+slug] = n
			}
			return top(out, 20).more()
		}),
		"Lines by way in": list(func(w *World, _ values) want {
			return by("source", map[string]float64{"elastic-bulk": sum(w.count(ours)), "syslog-tcp": lines, "netflow": float64(len(talks))}).more()
		}),
		"Syslog by host": list(func(w *World, _ values) want { return by("host", w.count(has("source", "syslog-tcp"), "host.name")) }),
		"Failures in syslog": list(func(w *World, _ values) want {
			return one(sum(w.count(has("source", "syslog-tcp", "message", "connection refused"))))
		}),
	},
	"lake": {
		"Rows":                      about(0.02, page("icewatch_lake_rows")),
		"On disk":                   about(0.5, page("icewatch_lake_bytes")),
		"Dropped by the library":    fixed(one(0)),
		"Read-only":                 fixed(one(0)),
		"Slow searches":             page("icewatch_slow_searches_total"),
		"Engine restarts":           fixed(one(0)),
		"Rows written a second":     list(func(w *World, _ values) want { return one(w.speed(sum(w.count(anything)))).within(0.1) }),
		"Rows by retention class":   about(0.02, series("icewatch_lake_class_rows")),
		"Events by dataset":         list(func(w *World, _ values) want { return top(w.count(ours, "event.dataset"), 10).more() }),
		"Events by category":        list(func(w *World, _ values) want { return of(map[string]float64{"web": 5, "network": 3}).more() }),
		"Active series":             about(0.1, page("icewatch_metrics_active_series")),
		"Samples":                   about(0.1, page("icewatch_metrics_samples")),
		"Metrics on disk":           about(0.5, page("icewatch_metrics_bytes")),
		"Samples dropped":           fixed(one(0)),
		"Samples received a second": list(func(w *World, _ values) want { return one(w.speed(moreSamples)).within(jitter) }),
		"Samples refused":           series("icewatch_metrics_refused_samples_total"),
		"Batches that wait":         fixed(one(2).bounded(), one(20).bounded()),
	},
	"storage": {
		"Disk used": list(func(w *World, _ values) want {
			free, total := w.disk()
			out := map[string]float64{}
			for k := range w.shown("icewatch_disk_total_bytes") {
				out[k] = 1 - free/total
			}
			return of(out).within(0.05)
		}),
		"Disks": pair(list(func(w *World, _ values) want {
			_, total := w.disk()
			out := map[string]float64{}
			for k := range w.shown("icewatch_disk_total_bytes") {
				out[k] = total
			}
			return of(out)
		}), about(0.05, series("icewatch_disk_free_bytes"))),
		"Free": list(func(w *World, _ values) want {
			free, _ := w.disk()
			out := map[string]float64{}
			for k := range w.shown("icewatch_disk_total_bytes") {
				out[k] = free
			}
			return of(out).within(0.05)
		}),
		"Bus stopped for want of disk":      fixed(one(0)),
		"Held on the bus":                   about(0.5, page("icewatch_bus_held_bytes")),
		"By part of the suite":              about(0.5, series("icewatch_storage_part_bytes")),
		"By retention class":                about(0.5, series("icewatch_lake_class_bytes")),
		"Rows by retention class":           about(0.02, series("icewatch_lake_class_rows")),
		"Tenants with the most bytes today": list(func(w *World, _ values) want { return top(w.shown("icewatch_tenant_day_bytes"), 10).within(0.02) }),
	},
	"detections": {
		"Open alerts":                    openAlerts(all, ""),
		"Critical alerts":                list(func(w *World, v values) want { return one(w.open(v, severity)["critical"]) }),
		"Alerts in 24 hours":             raisedAlerts(all, ""),
		"Firings":                        list(func(w *World, _ values) want { return one(float64(len(w.alerts) - 1 + w.fired)) }),
		"Muted by inhibition":            fixed(one(0)),
		"Firings repeated":               page("icewatch_alert_firings_repeated_total"),
		"Open alerts by severity":        openAlerts(severity, "severity"),
		"Alerts in 24 hours by severity": raisedAlerts(severity, "severity"),
		"Alerts in 24 hours by tenant":   raisedMost,
		"Alerts in 24 hours by rule":     list(rules),
		"Rules in force":                 page("icewatch_rules_in_force"),
		"Rules rejected":                 fixed(one(0)),
		"Rules held back":                fixed(one(0)),
		"Time to compile":                page("icewatch_rules_compile_seconds"),
		"Groups of correlations":         page("icewatch_correlation_groups"),
		"Memory of correlations": list(func(w *World, _ values) want {
			return one(sum(w.shown("icewatch_correlation_bytes")) / sum(w.shown("icewatch_correlation_limit_bytes")))
		}),
		"Occurrences a second": list(func(w *World, _ values) want { return one(w.speed(1)).within(jitter) }),
		"Rules that cost most": pair(
			list(func(w *World, _ values) want {
				took := w.shown("icewatch_rule_seconds_total")[costly]
				if took == 0 {
					took = -1 // it was timed
				}
				return of(map[string]float64{costly: took}).more()
			}),
			fixed(of(map[string]float64{costly: costlyLines}).more()), fixed(of(map[string]float64{costly: 0}).more())),
		"Sources of failed sign-ins": events(has("event.category", "authentication", "event.outcome", "failure"), "source.ip"),
		"Failed sign-ins by host":    events(has("event.category", "authentication", "event.outcome", "failure"), "host.name"),
	},
	"incidents": {
		"Open incidents":                         openIncidents("", nothing),
		"Nobody works on":                        list(func(w *World, v values) want { return one(w.incidentsBy(v, byState)["open"]) }),
		"Past due":                               fixed(one(0)),
		"Due soon":                               fixed(one(0)),
		"Mean time to acknowledge, 30 days":      acknowledged,
		"Mean time to resolve, 30 days":          resolved,
		"Open incidents by severity":             openIncidents("severity", ofSeverity),
		"Open incidents by state of their clock": openIncidents("state", inTime),
		"Opened":                                 list(func(w *World, _ values) want { return one(float64(len(w.alarmed()))) }),
		"Closed":                                 list(func(w *World, v values) want { _, r := w.took(v); return one(float64(len(r))) }),
		"Kept in time":                           fixed(one(1)),
		"By tenant": func(w *World, v values) []want {
			opened, closed := map[string]float64{}, map[string]float64{}
			for _, t := range w.alarmed() {
				opened[t]++
				if w.incident(t) == "closed" {
					closed[t]++
				}
			}
			a, r := w.took(v)
			return []want{by("tenant", opened), by("tenant", closed), of(nil), by("tenant", a), by("tenant", r)}
		},
	},
	"notifications": {
		"Delivered": list(func(w *World, _ values) want { return one(float64(w.Delivered())) }),
		"Waiting":   fixed(one(0)),
		"Given up":  fixed(one(0)),
		"By receiver": list(func(w *World, _ values) want {
			return of(map[string]float64{"outcome=delivered,receiver=duty": float64(w.Delivered()), "outcome=retrying,receiver=duty": 0, "outcome=failed,receiver=duty": 0})
		}),
		"Waiting by receiver": fixed(by("receiver", map[string]float64{"duty": 0})),
		"Targets that take":   fixed(one(1)),
		"Dead letters":        fixed(one(0)),
		"Events forwarded a second": list(func(w *World, _ values) want {
			return by("target", map[string]float64{"province": w.speed(sum(w.count(has("event.dataset", dataset))))}).within(jitter)
		}),
		"Lag": fixed(by("target", map[string]float64{"province": 5}).bounded()),
		"By target": list(func(w *World, _ values) want {
			return by("target", map[string]float64{"province": float64(w.forwarded.Load())})
		}).and(
			fixed(by("target", map[string]float64{"province": 20}).bounded(), by("target", map[string]float64{"province": 0}), by("target", map[string]float64{"province": 0}))),
	},
	"audit": {
		"Sign-ins":         fixed(one(1)),
		"Sign-ins refused": list(func(w *World, _ values) want { return one(float64(w.refusals)) }),
		"Accounts locked":  fixed(one(0)),
		"Refusals":         fixed(one(strangersAtGate)),
		"Changes": list(func(w *World, _ values) want {
			return one(w.shown("icewatch_audit_events_total")["kind=change,result=ok"])
		}),
		"Policy failures": fixed(one(0)),
		"Audit records a second by kind": list(func(w *World, _ values) want {
			return by("kind", map[string]float64{"sign-in": w.speed(strangers), "sign-out": 0, "change": 0, "system": 0}).more().within(jitter)
		}),
		"Audit records by kind and result": list(func(w *World, _ values) want {
			out := w.shown("icewatch_audit_events_total")
			for k, v := range out {
				if v == 0 {
					delete(out, k)
				}
			}
			return of(out).within(0.1)
		}),
		"Sign-ins by outcome":           events(has("event.category", "authentication"), "event.outcome"),
		"Accounts with failed sign-ins": events(has("event.category", "authentication", "event.outcome", "failure"), "user.name"),
		"Failed sign-ins": list(func(w *World, _ values) want {
			return one(sum(w.count(has("event.category", "authentication", "event.outcome", "failure"))))
		}),
	},
	"flows": {
		"Traffic":                 bytesOf(),
		"Flows":                   events(has("event.category", "network")),
		"Exporters":               fixed(one(1)),
		"Edges of the map":        fixed(one(float64(len(talks)))),
		"Lost on the way":         fixed(one(0)),
		"Not decoded":             fixed(one(0)),
		"Bytes by exporter":       bytesOf("observer.ip"),
		"Bytes by transport":      bytesOf("network.transport"),
		"Bytes by direction":      list(func(w *World, _ values) want { return of(map[string]float64{"internal": 150_900}) }),
		"Flows by kind of source": events(has("event.category", "network"), "event.dataset"),
		"Top senders":             bytesOf("source.ip"),
		"Top receivers":           bytesOf("destination.ip"),
		"Top services":            bytesOf("server.port"),
	},
	"traces": {
		"Spans by service":           events(has("data_stream.type", "traces"), "service.name"),
		"Failures by service":        events(has("data_stream.type", "traces", "event.outcome", "failure"), "service.name"),
		"95th percentile by service": fixed(of(map[string]float64{"seal-api": 3_000_000})),
		"Operations":                 events(has("data_stream.type", "traces"), "service.name", "span.name"),
		"Newest traces":              list(func(w *World, _ values) want { return one(sum(w.count(has("data_stream.type", "traces")))) }),
	},
	"hosts": {
		"Hosts":                  fixed(one(1)),
		"Highest CPU":            list(func(w *World, v values) want { return one(70) }),
		"Highest memory":         overall("mem_used_percent", every, highest),
		"Fullest disk":           overall("disk_used_percent", without("fstype", "tmpfs"), highest),
		"Zombies":                overall("processes_zombies", every, added),
		"Youngest start":         overall("system_uptime", every, lowest),
		"CPU used":               ofTenants["CPU used"],
		"CPU waiting for I/O":    gauge("cpu_usage_iowait", labelled("cpu", "cpu-total"), "host"),
		"Load of a minute a CPU": combined(func(x []float64) float64 { return x[0] / x[1] }, []string{"system_load1", "system_n_cpus"}, every, "host"),
		"Memory used":            gauge("mem_used_percent", every, "host"),
		"Memory available":       gauge("mem_available", every, "host"),
		"Swap used":              combined(func(x []float64) float64 { return 100 * (1 - x[0]/x[1]) }, []string{"mem_swap_free", "mem_swap_total"}, every, "host"),
		"Disk used":              gauge("disk_used_percent", without("fstype", "tmpfs"), "host", "path"),
		"Disk free":              gauge("disk_free", every, "host", "path"),
		"Disk read":              growth("diskio_read_bytes", every, "host"),
		"Disk written":           growth("diskio_write_bytes", every, "host"),
		"Received":               growth("net_bytes_recv", without("interface", "all"), "host"),
		"Sent":                   growth("net_bytes_sent", every, "host"),
		"Errors and drops":       fixed(by("host", map[string]float64{"web-1": 3})),
		"Processes":              gauge("processes_total", every, "host"),
		"Syslog by host":         list(func(w *World, _ values) want { return by("host", w.count(has("source", "syslog-tcp"), "host.name")) }),
	},
	"databases": {
		"Connections":              gauge("postgresql_numbackends", without("db", "template1"), "db", "server"),
		"Transactions committed":   growth("postgresql_xact_commit", every, "db", "server"),
		"Transactions rolled back": growth("postgresql_xact_rollback", every, "db", "server"),
		"Cache hits":               combined(func(x []float64) float64 { return x[0] / (x[0] + x[1]) }, []string{"postgresql_blks_hit", "postgresql_blks_read"}, every, "db", "server"),
		"Deadlocks":                overall("postgresql_deadlocks", every, added),
		"Temporary files":          overall("postgresql_temp_bytes", every, added),
		"MySQL connections":        gauge("mysql_threads_connected", every, "server"),
		"Threads that run":         gauge("mysql_threads_running", every, "server"),
		"Queries":                  growth("mysql_queries", every, "server"),
		"Slow queries":             growth("mysql_slow_queries", every, "server"),
		"Bytes received":           growth("mysql_bytes_received", every, "server"),
		"Bytes sent":               growth("mysql_bytes_sent", every, "server"),
		"Clients":                  gauge("redis_clients", every, "server"),
		"Memory":                   gauge("redis_used_memory", every, "server"),
		"Commands":                 growth("redis_total_commands_processed", every, "server"),
		"Hit rate":                 gauge("redis_keyspace_hitrate", every, "server"),
		"Keys evicted":             overall("redis_evicted_keys", every, added),
		"Connections rejected":     overall("redis_rejected_connections", every, added),
	},
	"middleware": {
		"Active connections":   gauge("nginx_active", every, "server"),
		"Requests":             growth("nginx_requests", every, "server"),
		"Connections by state": fixed(one(1), one(6), one(33)),
		"Connections dropped":  fixed(one(3)),
		"Threads busy":         combined(func(x []float64) float64 { return x[0] / x[1] }, []string{"tomcat_connector_current_threads_busy", "tomcat_connector_max_threads"}, every, "name", "source"),
		"Tomcat requests":      growth("tomcat_connector_request_count", every, "source"),
		"Tomcat errors":        growth("tomcat_connector_error_count", every, "source"),
		"JVM memory used":      combined(func(x []float64) float64 { return 1 - x[0]/x[1] }, []string{"tomcat_jvm_memory_free", "tomcat_jvm_memory_max"}, every, "source"),
		"Messages":             pair(gauge("rabbitmq_overview_messages_ready", every, "url"), gauge("rabbitmq_overview_messages_unacked", every, "url")),
		"Published":            growth("rabbitmq_overview_messages_published", every, "url"),
		"Consumers":            gauge("rabbitmq_overview_consumers", every, "url"),
		"RabbitMQ connections": gauge("rabbitmq_overview_connections", every, "url"),
		"Requests by status":   events(has("event.category", "web"), "http.response.status_code"),
		"Clients":              events(has("event.category", "web"), "source.ip"),
	},
}

// and joins expectations of several queries.
func (x expect) and(more expect) expect { return pair(x, more) }
