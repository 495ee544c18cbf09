package source

// The metrics of hosts, databases and middleware are named as Telegraf names
// them when it writes to Prometheus' remote write: input_field, with its tags as
// labels. What its inputs measure is in the README of each.

// watched are the variables of dashboards of what is watched: the tenant, where
// several are seen, and its instances by a label.
func watched(metric, label string, title Text) []Var {
	return []Var{
		{Name: "tenant", Title: t("应用", "Tenant"), Source: Prometheus, Query: `label_values(` + metric + `, icewatch_tenant)`, All: ".*"},
		{Name: label, Title: title, Source: Prometheus, Query: `label_values(` + metric + `{icewatch_tenant=~"$tenant"}, ` + label + `)`, All: ".*", Multi: true},
	}
}

// of is a metric of what the variables choose.
func of(metric, label, more string) string {
	if more != "" {
		more = "," + more
	}
	return metric + `{icewatch_tenant=~"$tenant",` + label + `=~"$` + label + `"` + more + `}`
}

func hosts() Board {
	h := func(metric, more string) string { return of(metric, "host", more) }
	// No loop devices and partitions that are parts of what is shown anyway.
	const real = `fstype!~"tmpfs|overlay|squashfs"`
	return Board{Name: "hosts", Title: t("主机", "Hosts"), Vars: watched("system_uptime", "host", t("主机", "Host")),
		About: t("主机的 CPU、内存、磁盘、网络与负载（Telegraf 指标）。", "CPU, memory, disks, network and load of hosts, as Telegraf measures them."),
		Rows: []Row{
			{t("概况", "At a glance"), []Panel{
				panel(Stat, t("主机数", "Hosts"), "", now(`count(`+h("system_uptime", "")+`) or vector(0)`, Text{})),
				panel(Stat, t("CPU 最高", "Highest CPU"), "percent", now(`max(100 - `+h("cpu_usage_idle", `cpu="cpu-total"`)+`)`, Text{})).alarm(80, 95),
				panel(Stat, t("内存最高", "Highest memory"), "percent", now(`max(`+h("mem_used_percent", "")+`)`, Text{})).alarm(80, 95),
				panel(Stat, t("磁盘最高", "Fullest disk"), "percent", now(`max(`+h("disk_used_percent", real)+`)`, Text{})).alarm(80, 90),
				panel(Stat, t("僵尸进程", "Zombies"), "", now(`sum(`+h("processes_zombies", "")+`)`, Text{})).alarm(1, 20),
				panel(Stat, t("最短运行时间", "Youngest start"), "s", now(`min(`+h("system_uptime", "")+`)`, Text{})),
			}},
			{t("CPU 与内存", "CPU and memory"), []Panel{
				panel(Series, t("CPU 使用率", "CPU used"), "percent", prom(`100 - avg by (host) (`+h("cpu_usage_idle", `cpu="cpu-total"`)+`)`, both("{{host}}"))),
				panel(Series, t("IO 等待", "CPU waiting for I/O"), "percent", prom(`avg by (host) (`+h("cpu_usage_iowait", `cpu="cpu-total"`)+`)`, both("{{host}}"))),
				panel(Series, t("系统负载（1 分钟 / CPU 数）", "Load of a minute a CPU"), "", prom(`max by (host) (`+h("system_load1", "")+` / `+h("system_n_cpus", "")+`)`, both("{{host}}"))),
				panel(Series, t("内存使用率", "Memory used"), "percent", prom(`max by (host) (`+h("mem_used_percent", "")+`)`, both("{{host}}"))),
				panel(Series, t("可用内存", "Memory available"), "bytes", prom(`sum by (host) (`+h("mem_available", "")+`)`, both("{{host}}"))),
				panel(Series, t("交换区使用率", "Swap used"), "percent", prom(`max by (host) (100 * (1 - `+h("mem_swap_free", "")+` / (`+h("mem_swap_total", "")+` > 0)))`, both("{{host}}"))),
			}},
			{t("磁盘", "Disks"), []Panel{
				panel(Gauge, t("磁盘使用率", "Disk used"), "percent", now(`topk(20, max by (host, path) (`+h("disk_used_percent", real)+`))`, both("{{host}} {{path}}"))).alarm(80, 90),
				panel(Series, t("磁盘剩余", "Disk free"), "bytes", prom(`min by (host, path) (`+h("disk_free", real)+`)`, both("{{host}} {{path}}"))),
				panel(Series, t("磁盘读", "Disk read"), "Bps", prom(`sum by (host) (`+rate(h("diskio_read_bytes", ""))+`)`, both("{{host}}"))),
				panel(Series, t("磁盘写", "Disk written"), "Bps", prom(`sum by (host) (`+rate(h("diskio_write_bytes", ""))+`)`, both("{{host}}"))),
			}},
			{t("网络与进程", "Network and processes"), []Panel{
				panel(Series, t("网络接收", "Received"), "Bps", prom(`sum by (host) (`+rate(h("net_bytes_recv", `interface!="all"`))+`)`, both("{{host}}"))),
				panel(Series, t("网络发送", "Sent"), "Bps", prom(`sum by (host) (`+rate(h("net_bytes_sent", `interface!="all"`))+`)`, both("{{host}}"))),
				panel(Series, t("网络错误与丢包", "Errors and drops"), "pps", prom(`sum by (host) (`+rate(h("net_err_in", ""))+` + `+rate(h("net_drop_in", ""))+`)`, both("{{host}}"))),
				panel(Series, t("进程数", "Processes"), "", prom(`sum by (host) (`+h("processes_total", "")+`)`, both("{{host}}"))),
			}},
			{t("主机日志", "Logs of the hosts"), []Panel{
				panel(Bars, t("系统日志（按主机）", "Syslog by host"), "", logql(`sum by (host) (count_over_time({host=~"$host",source=~"syslog.+"}[$__interval]))`, both("{{host}}"))).wide(24),
			}},
		}}
}

func databases() Board {
	pg := func(metric string) string { return of("postgresql_"+metric, "server", `db!~"template.*|postgres"`) }
	my := func(metric string) string { return of("mysql_"+metric, "server", "") }
	rd := func(metric string) string { return of("redis_"+metric, "server", "") }
	vars := watched(`{__name__=~"postgresql_numbackends|mysql_uptime|redis_uptime"}`, "server", t("实例", "Server"))
	vars[1].Query = `label_values({__name__=~"postgresql_numbackends|mysql_uptime|redis_uptime",icewatch_tenant=~"$tenant"}, server)`
	return Board{Name: "databases", Title: t("数据库", "Databases"), Vars: vars,
		About: t("PostgreSQL（含人大金仓、openGauss）、MySQL 与 Redis（Telegraf 指标）。", "PostgreSQL (KingbaseES and openGauss speak it, too), MySQL and Redis, as Telegraf measures them."),
		Rows: []Row{
			{both("PostgreSQL"), []Panel{
				panel(Series, t("连接数", "Connections"), "", prom(`sum by (server, db) (`+pg("numbackends")+`)`, both("{{server}} {{db}}"))),
				panel(Series, t("提交事务", "Transactions committed"), "ops", prom(`sum by (server, db) (`+rate(pg("xact_commit"))+`)`, both("{{server}} {{db}}"))),
				panel(Series, t("回滚事务", "Transactions rolled back"), "ops", prom(`sum by (server, db) (`+rate(pg("xact_rollback"))+`)`, both("{{server}} {{db}}"))),
				panel(Series, t("缓存命中率", "Cache hits"), "percentunit", prom(`sum by (server, db) (`+pg("blks_hit")+`) / (sum by (server, db) (`+pg("blks_hit")+`) + sum by (server, db) (`+pg("blks_read")+`))`, both("{{server}} {{db}}"))),
				panel(Stat, t("死锁", "Deadlocks"), "", now(`sum(`+pg("deadlocks")+`)`, Text{})).alarm(1, 10),
				panel(Stat, t("临时文件", "Temporary files"), "bytes", now(`sum(`+pg("temp_bytes")+`)`, Text{})),
			}},
			{both("MySQL"), []Panel{
				panel(Series, t("连接数", "MySQL connections"), "", prom(`sum by (server) (`+my("threads_connected")+`)`, both("{{server}}"))),
				panel(Series, t("运行线程", "Threads that run"), "", prom(`sum by (server) (`+my("threads_running")+`)`, both("{{server}}"))),
				panel(Series, t("查询", "Queries"), "ops", prom(`sum by (server) (`+rate(my("queries"))+`)`, both("{{server}}"))),
				panel(Series, t("慢查询", "Slow queries"), "ops", prom(`sum by (server) (`+rate(my("slow_queries"))+`)`, both("{{server}}"))),
				panel(Series, t("流入流量", "Bytes received"), "Bps", prom(`sum by (server) (`+rate(my("bytes_received"))+`)`, both("{{server}}"))),
				panel(Series, t("流出流量", "Bytes sent"), "Bps", prom(`sum by (server) (`+rate(my("bytes_sent"))+`)`, both("{{server}}"))),
			}},
			{both("Redis"), []Panel{
				panel(Series, t("客户端", "Clients"), "", prom(`sum by (server) (`+rd("clients")+`)`, both("{{server}}"))),
				panel(Series, t("内存", "Memory"), "bytes", prom(`sum by (server) (`+rd("used_memory")+`)`, both("{{server}}"))),
				panel(Series, t("命令", "Commands"), "ops", prom(`sum by (server) (`+rate(rd("total_commands_processed"))+`)`, both("{{server}}"))),
				panel(Series, t("命中率", "Hit rate"), "percentunit", prom(`avg by (server) (`+rd("keyspace_hitrate")+`)`, both("{{server}}"))),
				panel(Stat, t("淘汰键", "Keys evicted"), "", now(`sum(`+rd("evicted_keys")+`)`, Text{})).alarm(1, 1000),
				panel(Stat, t("拒绝连接", "Connections rejected"), "", now(`sum(`+rd("rejected_connections")+`)`, Text{})).alarm(1, 10),
			}},
		}}
}

func middleware() Board {
	m := func(metric string) string { return metric + `{icewatch_tenant=~"$tenant"}` }
	return Board{Name: "middleware", Title: t("中间件", "Middleware"),
		Vars: []Var{{Name: "tenant", Title: t("应用", "Tenant"), Source: Prometheus, All: ".*",
			Query: `label_values({__name__=~"nginx_requests|tomcat_connector_request_count|rabbitmq_overview_messages"}, icewatch_tenant)`}},
		About: t("Nginx、Tomcat 与 RabbitMQ（Telegraf 指标）及 Web 访问日志。", "Nginx, Tomcat and RabbitMQ, as Telegraf measures them, and the logs of web servers."),
		Rows: []Row{
			{both("Nginx"), []Panel{
				panel(Series, t("活动连接", "Active connections"), "", prom(`sum by (server) (`+m("nginx_active")+`)`, both("{{server}}"))),
				panel(Series, t("请求", "Requests"), "reqps", prom(`sum by (server) (`+rate(m("nginx_requests"))+`)`, both("{{server}}"))),
				panel(Series, t("连接状态", "Connections by state"), "", prom(`sum(`+m("nginx_reading")+`)`, t("读", "reading")), prom(`sum(`+m("nginx_writing")+`)`, t("写", "writing")), prom(`sum(`+m("nginx_waiting")+`)`, t("等待", "waiting"))),
				panel(Stat, t("未处理连接", "Connections dropped"), "", now(`sum(`+m("nginx_accepts")+`) - sum(`+m("nginx_handled")+`)`, Text{})).alarm(1, 100),
			}},
			{both("Tomcat"), []Panel{
				panel(Series, t("线程使用率", "Threads busy"), "percentunit", prom(`sum by (source, name) (`+m("tomcat_connector_current_threads_busy")+`) / sum by (source, name) (`+m("tomcat_connector_max_threads")+`)`, both("{{source}} {{name}}"))),
				panel(Series, t("请求", "Tomcat requests"), "reqps", prom(`sum by (source) (`+rate(m("tomcat_connector_request_count"))+`)`, both("{{source}}"))),
				panel(Series, t("错误", "Tomcat errors"), "reqps", prom(`sum by (source) (`+rate(m("tomcat_connector_error_count"))+`)`, both("{{source}}"))),
				panel(Series, t("JVM 内存", "JVM memory used"), "percentunit", prom(`1 - sum by (source) (`+m("tomcat_jvm_memory_free")+`) / sum by (source) (`+m("tomcat_jvm_memory_max")+`)`, both("{{source}}"))),
			}},
			{both("RabbitMQ"), []Panel{
				panel(Series, t("队列消息", "Messages"), "", prom(`sum by (url) (`+m("rabbitmq_overview_messages_ready")+`)`, t("{{url}} 就绪", "{{url}} ready")), prom(`sum by (url) (`+m("rabbitmq_overview_messages_unacked")+`)`, t("{{url}} 未确认", "{{url}} unacknowledged"))),
				panel(Series, t("发布速率", "Published"), "mps", prom(`sum by (url) (`+rate(m("rabbitmq_overview_messages_published"))+`)`, both("{{url}}"))),
				panel(Series, t("消费者", "Consumers"), "", prom(`sum by (url) (`+m("rabbitmq_overview_consumers")+`)`, both("{{url}}"))),
				panel(Series, t("连接", "RabbitMQ connections"), "", prom(`sum by (url) (`+m("rabbitmq_overview_connections")+`)`, both("{{url}}"))),
			}},
			{t("Web 访问", "Web access"), []Panel{
				panel(Bars, t("请求（按状态码）", "Requests by status"), "", lucene(`event.category:web`, "count", "", "http.response.status_code")),
				panel(Table, t("访问最多的地址", "Clients"), "", overall(`event.category:web`, "count", "", "source.ip")).
					columns(Column{Field: "source.ip", Title: t("来源地址", "Source")}, Column{Field: "Count", Title: t("请求数", "Requests")}),
			}},
		}}
}
