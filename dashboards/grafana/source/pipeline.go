package source

func intake() Board {
	return Board{Name: "intake", Title: t("数据接入", "Intake"),
		About: t("日志从采集到入湖的全过程：接入方式、速率、积压、拒收与丢失。", "The way of events from the senders into the lake: ways in, speed, what waits, what is refused, what is lost."),
		Rows: []Row{
			{t("概况", "At a glance"), []Panel{
				panel(Stat, t("接入速率", "Records a second"), "eps", prom(`sum(`+rate(`icewatch_bus_records_total`)+`)`, Text{})),
				panel(Stat, t("处理延迟", "Lag"), "s", now(`icewatch_intake_lag_seconds`, Text{})).alarm(10, 60),
				panel(Stat, t("积压", "Waiting"), "bytes", now(`icewatch_intake_queue_bytes`, Text{})).alarm(1e8, 1e9),
				panel(Stat, t("丢失事件", "Events lost"), "", now(`sum(icewatch_intake_dropped_events_total) or vector(0)`, Text{})).alarm(1, 1000).
					about("自启动以来在发送方与数据湖之间丢失的事件，按原因合计。", "Events lost between sender and lake since the start, of all reasons."),
				panel(Stat, t("超配额拒收", "Refused for quota"), "", now(`icewatch_intake_refused_events_total`, Text{})).alarm(1, 1000),
				panel(Stat, t("无法存储的事件", "Events not stored"), "", now(`icewatch_engine_unstored_events_total`, Text{})).alarm(1, 1).
					about("必须始终为 0。", "Must stay 0."),
			}},
			{t("接入方式", "Ways in"), []Panel{
				panel(Stack, t("各接入方式速率", "Events a second by way in"), "eps", prom(`sum by (collector) (`+rate(`icewatch_collector_received_total`)+`)`, both("{{collector}}"))),
				panel(Stack, t("各接入方式流量", "Bytes a second by way in"), "Bps", prom(`sum by (collector) (`+rate(`icewatch_collector_bytes_total`)+`)`, both("{{collector}}"))),
				panel(Series, t("拒收（按接入方式）", "Rejected by way in"), "", prom(`sum by (collector) (icewatch_collector_rejected_total)`, both("{{collector}}"))),
				panel(Series, t("丢失（按原因）", "Lost by reason"), "", prom(`sum by (reason) (icewatch_intake_dropped_events_total)`, both("{{reason}}"))),
			}},
			{t("数据源", "Senders"), []Panel{
				panel(Stat, t("活跃数据源", "Senders that send"), "", now(`sum(icewatch_sources{state="active"})`, Text{})),
				panel(Stat, t("静默数据源", "Senders gone silent"), "", now(`sum(icewatch_sources{state="silent"})`, Text{})).alarm(1, 10),
				panel(Table, t("发送最多的数据源", "Senders that send most"), "", now(`topk(20, sum by (tenant, collector, peer) (icewatch_source_events_total))`, Text{})).wide(16).
					columns(Column{Field: "peer", Title: t("地址", "Address")}, Column{Field: "collector", Title: t("接入方式", "Way in")}, Column{Field: "tenant", Title: t("应用", "Tenant")}, Column{Field: "Value", Title: t("事件数", "Events")}),
			}},
			{t("系统日志", "Syslog"), []Panel{
				panel(Bars, t("日志行数（按接入方式）", "Lines by way in"), "", logql(`sum by (source) (count_over_time({source=~".+"}[$__interval]))`, both("{{source}}"))),
				panel(Bars, t("系统日志（按主机）", "Syslog by host"), "", logql(`topk(10, sum by (host) (count_over_time({source=~"syslog.+"}[$__interval])))`, both("{{host}}"))),
				panel(Logs, t("系统日志中的失败", "Failures in syslog"), "", logql(`{source=~"syslog.+"} |~ "(?i)(fail|denied|refused)"`, Text{})),
			}},
		}}
}

func lake() Board {
	return Board{Name: "lake", Title: t("数据湖", "Lake"),
		About: t("日志湖与指标湖：写入、容量、查询与健康。", "The lake of logs and that of metrics: what is written, how much they hold, how they fare."),
		Rows: []Row{
			{t("日志湖", "Logs"), []Panel{
				panel(Stat, t("行数", "Rows"), "", now(`icewatch_lake_rows`, Text{})),
				panel(Stat, t("占用空间", "On disk"), "bytes", now(`icewatch_lake_bytes`, Text{})),
				panel(Stat, t("库内丢弃", "Dropped by the library"), "", now(`icewatch_lake_dropped_rows_total`, Text{})).alarm(1, 1).about("必须始终为 0。", "Must stay 0."),
				panel(Stat, t("只读", "Read-only"), "bool_yes_no", now(`icewatch_lake_read_only`, Text{})).alarm(1, 1),
				panel(Stat, t("慢查询", "Slow searches"), "", now(`icewatch_slow_searches_total`, Text{})),
				panel(Stat, t("引擎重启", "Engine restarts"), "", now(`icewatch_engine_restarts_total`, Text{})).alarm(1, 3),
				panel(Series, t("写入速率", "Rows written a second"), "wps", prom(`sum(`+rate(`icewatch_lake_rows_total`)+`)`, both("rows"))),
				panel(Series, t("各保留等级行数", "Rows by retention class"), "", prom(`sum by (class) (icewatch_lake_class_rows)`, both("{{class}}"))),
				panel(Bars, t("数据集", "Events by dataset"), "", lucene(`*`, "count", "", "event.dataset")),
				panel(Bars, t("事件类别", "Events by category"), "", lucene(`*`, "count", "", "event.category")),
			}},
			{t("指标湖", "Metrics"), []Panel{
				panel(Stat, t("活跃序列", "Active series"), "", now(`icewatch_metrics_active_series`, Text{})),
				panel(Stat, t("样本数", "Samples"), "", now(`icewatch_metrics_samples`, Text{})),
				panel(Stat, t("占用空间", "Metrics on disk"), "bytes", now(`icewatch_metrics_bytes`, Text{})),
				panel(Stat, t("丢弃样本", "Samples dropped"), "", now(`icewatch_metrics_dropped_samples_total`, Text{})).alarm(1, 1000),
				panel(Series, t("样本接入速率", "Samples received a second"), "cps", prom(`sum(`+rate(`icewatch_metrics_received_samples_total`)+`)`, both("samples"))).wide(8),
				panel(Series, t("拒收样本", "Samples refused"), "", prom(`sum by (reason) (icewatch_metrics_refused_samples_total)`, both("{{reason}}"))),
				panel(Series, t("待处理批次", "Batches that wait"), "", prom(`icewatch_metrics_waiting_batches`, both("metrics")), prom(`icewatch_bus_waiting_messages`, both("events"))),
			}},
		}}
}

func storage() Board {
	return Board{Name: "storage", Title: t("存储与保留", "Storage and retention"),
		About: t("磁盘余量与增长、各部分占用、各保留等级容量与配额。", "Room on the disks and how it shrinks, what takes it, retention classes and quotas."),
		Rows: []Row{
			{t("磁盘", "Disks"), []Panel{
				panel(Gauge, t("磁盘使用率", "Disk used"), "percentunit", now(`1 - icewatch_disk_free_bytes / icewatch_disk_total_bytes`, both("{{mount}}"))).alarm(0.8, 0.9),
				panel(Table, t("磁盘", "Disks"), "bytes", now(`icewatch_disk_total_bytes`, Text{}), now(`icewatch_disk_free_bytes`, Text{})).
					columns(Column{Field: "mount", Title: t("挂载点", "Mount")}, Column{Field: "Value #A", Title: t("总量", "Size"), Unit: "bytes"}, Column{Field: "Value #B", Title: t("剩余", "Free"), Unit: "bytes"}),
				panel(Series, t("剩余空间", "Free"), "bytes", prom(`icewatch_disk_free_bytes`, both("{{mount}}"))),
				panel(Stat, t("总线停止接收", "Bus stopped for want of disk"), "bool_yes_no", now(`icewatch_bus_disk_full`, Text{})).alarm(1, 1),
				panel(Stat, t("总线保留数据", "Held on the bus"), "bytes", now(`icewatch_bus_held_bytes`, Text{})),
			}},
			{t("占用", "What takes room"), []Panel{
				panel(Gauge, t("各部分占用", "By part of the suite"), "bytes", now(`sort_desc(icewatch_storage_part_bytes)`, both("{{part}}"))),
				panel(Stack, t("各保留等级占用", "By retention class"), "bytes", prom(`icewatch_lake_class_bytes`, both("{{class}}"))),
				panel(Table, t("各保留等级行数", "Rows by retention class"), "", now(`icewatch_lake_class_rows`, Text{})).
					columns(Column{Field: "class", Title: t("保留等级", "Class")}, Column{Field: "Value", Title: t("行数", "Rows")}),
				panel(Gauge, t("今日数据量最大的应用", "Tenants with the most bytes today"), "bytes", now(`topk(10, icewatch_tenant_day_bytes > 0)`, both("{{tenant}}"))),
			}},
		}}
}
