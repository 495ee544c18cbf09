package source

// rate is the speed of a counter over the time Grafana deems right.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

func overview() Board {
	return Board{Name: "overview", Title: t("总览", "Overview"),
		About: t("安全运营平台整体态势：平台是否正常、接入速度、未处置告警与事件、SLA。", "How the city and the suite stand: is it well, what comes in, which alerts and incidents are open."),
		Rows: []Row{
			{t("态势", "Standing"), []Panel{
				panel(Stat, t("分析引擎", "Engine"), "bool_on_off", now(`icewatch_engine_up`, Text{})).alarmLow(1, 0.5),
				panel(Stat, t("事件接入速率", "Events a second"), "eps", prom(`sum(`+rate(`icewatch_engine_events_total`)+`)`, Text{})),
				panel(Stat, t("未关闭告警", "Open alerts"), "", now(`sum(icewatch_alerts) or vector(0)`, Text{})),
				panel(Stat, t("未关闭事件", "Open incidents"), "", now(`sum(icewatch_incidents) or vector(0)`, Text{})),
				panel(Stat, t("SLA 超时事件", "Incidents past due"), "", now(`sum(icewatch_incidents_sla{state="breached"}) or vector(0)`, Text{})).alarm(1, 5),
				panel(Stat, t("在用规则", "Rules in force"), "", now(`icewatch_rules_in_force`, Text{})),
			}},
			{t("告警与事件", "Alerts and incidents"), []Panel{
				panel(Stack, t("未关闭告警（按级别）", "Open alerts by severity"), "", prom(`sum by (severity) (icewatch_alerts)`, both("{{severity}}"))),
				panel(Stack, t("未关闭事件（按状态）", "Open incidents by state"), "", prom(`sum by (state) (icewatch_incidents)`, both("{{state}}"))),
				panel(Gauge, t("近 24 小时告警最多的应用", "Tenants with the most alerts in 24 hours"), "", now(`topk(10, sum by (tenant) (icewatch_alerts_raised_last_day) > 0)`, both("{{tenant}}"))),
				panel(Table, t("近 24 小时告警最多的规则", "Rules with the most alerts in 24 hours"), "", now(`topk(10, icewatch_rule_alerts_last_day)`, Text{})).
					columns(Column{Field: "title", Title: t("规则", "Rule (Chinese)")}, Column{Field: "title_en", Title: t("规则（英文）", "Rule")}, Column{Field: "rule", Title: t("规则编号", "Id")}, Column{Field: "Value", Title: t("告警数", "Alerts")}),
			}},
			{t("接入与平台", "Intake and suite"), []Panel{
				panel(Series, t("各应用接入速率", "Events a second by tenant"), "eps", prom(`topk(10, sum by (tenant) (`+rate(`icewatch_tenant_events_total`)+`))`, both("{{tenant}}"))),
				panel(Table, t("平台异常", "What is wrong with the suite"), "", now(`icewatch_condition`, Text{})).
					columns(Column{Field: "severity", Title: t("级别", "Severity")}, Column{Field: "kind", Title: t("类型", "Kind")}, Column{Field: "key", Title: t("对象", "Of")}),
			}},
			{t("告警列表", "Alerts"), []Panel{
				{Kind: Alerts, Title: t("正在触发的告警", "Alerts that fire"), About: t("来自平台的 Alertmanager 接口。", "From the suite's Alertmanager API.")},
			}},
		}}
}

func tenants() Board {
	return Board{Name: "tenants", Title: t("应用系统一览", "Tenants"),
		About: t("全部被监测政务应用的接入、告警、事件与配额对比。点击应用进入单应用仪表盘。", "All monitored applications side by side: intake, alerts, incidents, quota. A click on one opens its own dashboard."),
		Rows: []Row{
			{t("对比", "Side by side"), []Panel{
				panel(Stat, t("今日有数据的应用", "Tenants with events today"), "", now(`count(icewatch_tenant_day_events > 0) or vector(0)`, Text{})),
				panel(Stat, t("今日事件数", "Events today"), "", now(`sum(icewatch_tenant_day_events)`, Text{})),
				panel(Stat, t("今日数据量", "Bytes today"), "bytes", now(`sum(icewatch_tenant_day_bytes)`, Text{})),
				panel(Stat, t("有未关闭告警的应用", "Tenants with open alerts"), "", now(`count(sum by (tenant) (icewatch_alerts) > 0) or vector(0)`, Text{})),
				panel(Table, t("应用系统", "Applications"), "",
					now(`sum by (tenant) (icewatch_tenant_day_events)`, Text{}), now(`sum by (tenant) (icewatch_tenant_day_bytes)`, Text{}),
					now(`sum by (tenant) (icewatch_alerts)`, Text{}), now(`sum by (tenant) (icewatch_incidents)`, Text{}), now(`sum by (tenant) (icewatch_incidents_sla{state="breached"})`, Text{})).wide(24).high(14).
					columns(Column{Field: "tenant", Title: t("应用", "Tenant"), Link: "tenant"}, Column{Field: "Value #A", Title: t("今日事件", "Events today")},
						Column{Field: "Value #B", Title: t("今日数据量", "Bytes today"), Unit: "bytes"}, Column{Field: "Value #C", Title: t("未关闭告警", "Open alerts")},
						Column{Field: "Value #D", Title: t("未关闭事件", "Open incidents")}, Column{Field: "Value #E", Title: t("SLA 超时", "Past due")}),
			}},
			{t("趋势", "Over time"), []Panel{
				panel(Stack, t("各应用接入速率", "Events a second by tenant"), "eps", prom(`sum by (tenant) (`+rate(`icewatch_tenant_events_total`)+`)`, both("{{tenant}}"))),
				panel(Series, t("各应用未关闭告警", "Open alerts by tenant"), "", prom(`sum by (tenant) (icewatch_alerts)`, both("{{tenant}}"))),
				panel(Gauge, t("配额使用率", "Quota used"), "percentunit", now(`topk(20, icewatch_tenant_quota_used_ratio)`, both("{{tenant}}"))).alarm(0.8, 1),
				panel(Bars, t("各应用失败事件", "Failures by tenant"), "", lucene(`event.outcome:failure`, "count", "", "icewatch.tenant")).
					about("事件结果为失败（event.outcome=failure）的日志数。", "Events with the outcome failure."),
			}},
		}}
}

// ofTenants are the rows that a tenant's dashboard and a domain's share; both
// have the variable $tenant.
func ofTenants() []Row {
	const of = `{tenant=~"$tenant"}`
	return []Row{
		{t("概况", "At a glance"), []Panel{
			panel(Stat, t("今日事件数", "Events today"), "", now(`sum(icewatch_tenant_day_events`+of+`) or vector(0)`, Text{})),
			panel(Stat, t("今日数据量", "Bytes today"), "bytes", now(`sum(icewatch_tenant_day_bytes`+of+`) or vector(0)`, Text{})),
			panel(Stat, t("未关闭告警", "Open alerts"), "", now(`sum(icewatch_alerts`+of+`) or vector(0)`, Text{})),
			panel(Stat, t("未关闭事件", "Open incidents"), "", now(`sum(icewatch_incidents`+of+`) or vector(0)`, Text{})),
			panel(Stat, t("平均响应时间（30 天）", "Mean time to acknowledge, 30 days"), "s",
				now(`sum(icewatch_incidents_month_acknowledge_seconds`+of+`) / (sum(icewatch_incidents_month_acknowledged`+of+`) > 0)`, Text{})),
			panel(Stat, t("平均解决时间（30 天）", "Mean time to resolve, 30 days"), "s",
				now(`sum(icewatch_incidents_month_resolve_seconds`+of+`) / (sum(icewatch_incidents_month_resolved`+of+`) > 0)`, Text{})),
		}},
		{t("告警与事件", "Alerts and incidents"), []Panel{
			panel(Stack, t("未关闭告警（按级别）", "Open alerts by severity"), "", prom(`sum by (severity) (icewatch_alerts`+of+`)`, both("{{severity}}"))),
			panel(Stack, t("事件 SLA 状态", "Incidents by state of their clock"), "", prom(`sum by (state) (icewatch_incidents_sla`+of+`)`, both("{{state}}"))),
		}},
		{t("日志", "Logs"), []Panel{
			panel(Series, t("接入速率", "Events a second"), "eps", prom(`sum by (tenant) (`+rate(`icewatch_tenant_events_total`+of)+`)`, both("{{tenant}}"))),
			panel(Bars, t("日志量（按级别）", "Logs by level"), "", lucene(`icewatch.tenant:$tenant`, "count", "", "log.level")),
			panel(Bars, t("操作失败（按主机）", "Failures by host"), "", lucene(`icewatch.tenant:$tenant AND event.outcome:failure`, "count", "", "host.name")),
			panel(Table, t("访问来源排行", "Sources that speak most"), "", overall(`icewatch.tenant:$tenant`, "count", "", "source.ip")).
				columns(Column{Field: "source.ip", Title: t("来源地址", "Source")}, Column{Field: "Count", Title: t("事件数", "Events")}),
		}},
		{t("主机", "Hosts"), []Panel{
			panel(Series, t("CPU 使用率", "CPU used"), "percent", prom(`100 - avg by (host) (cpu_usage_idle{cpu="cpu-total",icewatch_tenant=~"$tenant"})`, both("{{host}}"))).alarm(80, 95),
			panel(Series, t("内存使用率", "Memory used"), "percent", prom(`max by (host) (mem_used_percent{icewatch_tenant=~"$tenant"})`, both("{{host}}"))).alarm(80, 95),
		}},
		{t("最新日志", "Newest logs"), []Panel{
			panel(Logs, t("日志", "Logs"), "", lucene(`icewatch.tenant:$tenant`, "logs", "")),
		}},
	}
}

func tenant() Board {
	return Board{Name: "tenant", Title: t("单应用", "One tenant"),
		About: t("一个政务应用的接入、告警、事件、日志与主机。", "One application: what it sends, its alerts, incidents, logs and hosts."),
		Vars:  []Var{{Name: "tenant", Title: t("应用", "Tenant"), Source: Prometheus, Query: `label_values(icewatch_tenant_day_events, tenant)`}},
		Rows:  ofTenants()}
}
