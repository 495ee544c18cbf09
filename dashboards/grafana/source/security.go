package source

func detections() Board {
	return Board{Name: "detections", Title: t("检测与告警", "Detections"),
		About: t("告警按级别、应用、规则的分布，检测规则的命中与开销，告警来源。", "Alerts by severity, tenant and rule; what rules find and what they cost; where alerts come from."),
		Rows: []Row{
			{t("告警", "Alerts"), []Panel{
				panel(Stat, t("未关闭告警", "Open alerts"), "", now(`sum(icewatch_alerts) or vector(0)`, Text{})),
				panel(Stat, t("严重告警", "Critical alerts"), "", now(`sum(icewatch_alerts{severity="critical"}) or vector(0)`, Text{})).alarm(1, 5),
				panel(Stat, t("近 24 小时告警", "Alerts in 24 hours"), "", now(`sum(icewatch_alerts_raised_last_day) or vector(0)`, Text{})),
				panel(Stat, t("规则触发", "Firings"), "", now(`icewatch_alert_firings_total`, Text{})).about("自启动以来处理的规则触发次数。", "Firings taken in since the start, each once."),
				panel(Stat, t("被静默的抑制", "Muted by inhibition"), "", now(`icewatch_inhibition_muted_total`, Text{})),
				panel(Stat, t("重复触发", "Firings repeated"), "", now(`icewatch_alert_firings_repeated_total`, Text{})),
				panel(Stack, t("未关闭告警（按级别）", "Open alerts by severity"), "", prom(`sum by (severity) (icewatch_alerts)`, both("{{severity}}"))),
				panel(Gauge, t("近 24 小时告警（按级别）", "Alerts in 24 hours by severity"), "", now(`sum by (severity) (icewatch_alerts_raised_last_day)`, both("{{severity}}"))),
				panel(Gauge, t("近 24 小时告警（按应用）", "Alerts in 24 hours by tenant"), "", now(`topk(10, sum by (tenant) (icewatch_alerts_raised_last_day) > 0)`, both("{{tenant}}"))),
				panel(Table, t("近 24 小时告警（按规则）", "Alerts in 24 hours by rule"), "", now(`icewatch_rule_alerts_last_day`, Text{})).
					columns(Column{Field: "title", Title: t("规则", "Rule (Chinese)")}, Column{Field: "title_en", Title: t("规则（英文）", "Rule")}, Column{Field: "rule", Title: t("规则编号", "Id")}, Column{Field: "Value", Title: t("告警数", "Alerts")}),
			}},
			{t("规则", "Rules"), []Panel{
				panel(Stat, t("在用规则", "Rules in force"), "", now(`icewatch_rules_in_force`, Text{})),
				panel(Stat, t("未生效规则", "Rules rejected"), "", now(`icewatch_rules_rejected`, Text{})).alarm(1, 10),
				panel(Stat, t("受限规则", "Rules held back"), "", now(`sum(icewatch_rules_throttled)`, Text{})).alarm(1, 10).about("因告警泛滥、过慢或失败而被限制的规则。", "Rules that flood, are too slow or failed."),
				panel(Stat, t("规则编译时间", "Time to compile"), "s", now(`icewatch_rules_compile_seconds`, Text{})),
				panel(Stat, t("关联分析分组", "Groups of correlations"), "", now(`icewatch_correlation_groups`, Text{})),
				panel(Stat, t("关联分析内存", "Memory of correlations"), "percentunit", now(`icewatch_correlation_bytes / icewatch_correlation_limit_bytes`, Text{})).alarm(0.8, 0.95),
				panel(Series, t("检测命中速率", "Occurrences a second"), "cps", prom(`sum(`+rate(`icewatch_engine_occurrences_total`)+`)`, both("occurrences"))),
				panel(Table, t("开销最大的规则", "Rules that cost most"), "s", now(`topk(20, icewatch_rule_seconds_total)`, Text{}), now(`icewatch_rule_asked_total`, Text{}), now(`icewatch_rule_hits_total`, Text{})).
					columns(Column{Field: "rule", Title: t("规则编号", "Rule")}, Column{Field: "Value #A", Title: t("累计耗时", "Time"), Unit: "s"}, Column{Field: "Value #B", Title: t("求值次数", "Evaluated")}, Column{Field: "Value #C", Title: t("命中次数", "Hits")}),
			}},
			{t("攻击来源", "Attackers"), []Panel{
				panel(Table, t("登录失败最多的来源", "Sources of failed sign-ins"), "", overall(`event.category:authentication AND event.outcome:failure`, "count", "", "source.ip")).
					columns(Column{Field: "source.ip", Title: t("来源地址", "Source")}, Column{Field: "Count", Title: t("失败次数", "Failures")}),
				panel(Bars, t("登录失败（按主机）", "Failed sign-ins by host"), "", lucene(`event.category:authentication AND event.outcome:failure`, "count", "", "host.name")),
			}},
		}}
}

func incidents() Board {
	return Board{Name: "incidents", Title: t("事件与 SLA", "Incidents and SLA"), From: "now-24h",
		About: t("安全事件的状态、SLA 时钟、平均响应与解决时间，按应用对比。", "Incidents by state, their clocks, mean times to acknowledge and to resolve, by tenant."),
		Rows: []Row{
			{t("当前", "Now"), []Panel{
				panel(Stat, t("未关闭事件", "Open incidents"), "", now(`sum(icewatch_incidents) or vector(0)`, Text{})),
				panel(Stat, t("待响应", "Nobody works on"), "", now(`sum(icewatch_incidents{state="open"}) or vector(0)`, Text{})).alarm(1, 5),
				panel(Stat, t("SLA 超时", "Past due"), "", now(`sum(icewatch_incidents_sla{state="breached"}) or vector(0)`, Text{})).alarm(1, 5),
				panel(Stat, t("即将超时", "Due soon"), "", now(`sum(icewatch_incidents_sla{state="due_soon"}) or vector(0)`, Text{})).alarm(1, 5),
				panel(Stat, t("平均响应时间（30 天）", "Mean time to acknowledge, 30 days"), "s", now(`sum(icewatch_incidents_month_acknowledge_seconds) / (sum(icewatch_incidents_month_acknowledged) > 0)`, Text{})),
				panel(Stat, t("平均解决时间（30 天）", "Mean time to resolve, 30 days"), "s", now(`sum(icewatch_incidents_month_resolve_seconds) / (sum(icewatch_incidents_month_resolved) > 0)`, Text{})),
				panel(Stack, t("未关闭事件（按级别）", "Open incidents by severity"), "", prom(`sum by (severity) (icewatch_incidents)`, both("{{severity}}"))),
				panel(Stack, t("未关闭事件（按 SLA 状态）", "Open incidents by state of their clock"), "", prom(`sum by (state) (icewatch_incidents_sla)`, both("{{state}}"))),
			}},
			{t("近 30 天", "Last 30 days"), []Panel{
				panel(Stat, t("新增事件", "Opened"), "", now(`sum(icewatch_incidents_month_opened) or vector(0)`, Text{})),
				panel(Stat, t("已关闭", "Closed"), "", now(`sum(icewatch_incidents_month_closed) or vector(0)`, Text{})),
				panel(Stat, t("SLA 达标率", "Kept in time"), "percentunit", now(`1 - sum(icewatch_incidents_month_late) / (sum(icewatch_incidents_month_opened) > 0)`, Text{})).alarmLow(0.95, 0.9),
				panel(Table, t("各应用", "By tenant"), "", now(`sum by (tenant) (icewatch_incidents_month_opened)`, Text{}), now(`sum by (tenant) (icewatch_incidents_month_closed)`, Text{}), now(`sum by (tenant) (icewatch_incidents_month_late)`, Text{}),
					now(`sum by (tenant) (icewatch_incidents_month_acknowledge_seconds) / (sum by (tenant) (icewatch_incidents_month_acknowledged) > 0)`, Text{}),
					now(`sum by (tenant) (icewatch_incidents_month_resolve_seconds) / (sum by (tenant) (icewatch_incidents_month_resolved) > 0)`, Text{})).wide(24).
					columns(Column{Field: "tenant", Title: t("应用", "Tenant"), Link: "tenant"}, Column{Field: "Value #A", Title: t("新增", "Opened")}, Column{Field: "Value #B", Title: t("已关闭", "Closed")},
						Column{Field: "Value #C", Title: t("超时", "Late")}, Column{Field: "Value #D", Title: t("平均响应", "Mean to acknowledge"), Unit: "s"}, Column{Field: "Value #E", Title: t("平均解决", "Mean to resolve"), Unit: "s"}),
			}},
		}}
}

func notifications() Board {
	return Board{Name: "notifications", Title: t("通知与转发", "Notifications and forwarding"),
		About: t("通知是否送达、哪些在等待；向其他平台转发的速率、积压与失败。", "Whether receivers are told, and what goes on to other systems."),
		Rows: []Row{
			{t("通知", "Notifications"), []Panel{
				panel(Stat, t("已送达", "Delivered"), "", now(`sum(icewatch_notification_attempts_total{outcome="delivered"}) or vector(0)`, Text{})),
				panel(Stat, t("等待发送", "Waiting"), "", now(`sum(icewatch_notifications_waiting) or vector(0)`, Text{})).alarm(10, 100),
				panel(Stat, t("发送失败", "Given up"), "", now(`sum(icewatch_notification_attempts_total{outcome="failed"}) or vector(0)`, Text{})).alarm(1, 10),
				panel(Table, t("各接收方", "By receiver"), "", now(`sum by (receiver, outcome) (icewatch_notification_attempts_total)`, Text{})).
					columns(Column{Field: "receiver", Title: t("接收方", "Receiver")}, Column{Field: "outcome", Title: t("结果", "Outcome")}, Column{Field: "Value", Title: t("次数", "Attempts")}),
				panel(Series, t("等待发送（按接收方）", "Waiting by receiver"), "", prom(`icewatch_notifications_waiting`, both("{{receiver}}"))),
			}},
			{t("转发", "Forwarding"), []Panel{
				panel(Stat, t("可用目标", "Targets that take"), "", now(`sum(icewatch_forward_up) or vector(0)`, Text{})),
				panel(Stat, t("死信", "Dead letters"), "", now(`sum(icewatch_forward_dead_letters) or vector(0)`, Text{})).alarm(1, 100),
				panel(Series, t("转发速率", "Events forwarded a second"), "eps", prom(`sum by (target) (`+rate(`icewatch_forward_sent_events_total`)+`)`, both("{{target}}"))),
				panel(Series, t("转发延迟", "Lag"), "s", prom(`icewatch_forward_lag_seconds`, both("{{target}}"))),
				panel(Table, t("各目标", "By target"), "", now(`icewatch_forward_sent_events_total`, Text{}), now(`icewatch_forward_waiting_events`, Text{}), now(`icewatch_forward_failures_total`, Text{}), now(`icewatch_forward_dead_letters`, Text{})).wide(24).
					columns(Column{Field: "target", Title: t("目标", "Target")}, Column{Field: "Value #A", Title: t("已转发", "Sent")}, Column{Field: "Value #B", Title: t("等待", "Waiting")}, Column{Field: "Value #C", Title: t("失败", "Failures")}, Column{Field: "Value #D", Title: t("死信", "Dead letters")}),
			}},
		}}
}

func audit() Board {
	return Board{Name: "audit", Title: t("审计与登录", "Audit and sign-in"),
		About: t("平台自身的登录、操作审计与策略判定；被监测系统的登录。", "Sign-ins to the suite, what the audit log is told, policy decisions; sign-ins to what is watched."),
		Rows: []Row{
			{t("平台", "The suite"), []Panel{
				panel(Stat, t("登录成功", "Sign-ins"), "", now(`sum(icewatch_audit_events_total{kind="sign-in",result="ok"})`, Text{})),
				panel(Stat, t("登录失败", "Sign-ins refused"), "", now(`sum(icewatch_audit_events_total{kind="sign-in",result!="ok"})`, Text{})).alarm(10, 100),
				panel(Stat, t("被锁定账号", "Accounts locked"), "", now(`icewatch_sign_in_locked`, Text{})).alarm(1, 10),
				panel(Stat, t("越权访问", "Refusals"), "", now(`sum(icewatch_audit_events_total{result="denied",kind!="sign-in"})`, Text{})).alarm(10, 100),
				panel(Stat, t("配置变更", "Changes"), "", now(`sum(icewatch_audit_events_total{kind="change",result="ok"})`, Text{})),
				panel(Stat, t("策略判定失败", "Policy failures"), "", now(`icewatch_policy_failures_total`, Text{})).alarm(1, 10),
				panel(Stack, t("审计记录（按类型）", "Audit records a second by kind"), "cps", prom(`sum by (kind) (`+rate(`icewatch_audit_events_total`)+`)`, both("{{kind}}"))),
				panel(Table, t("审计记录（按类型与结果）", "Audit records by kind and result"), "", now(`icewatch_audit_events_total > 0`, Text{})).
					columns(Column{Field: "kind", Title: t("类型", "Kind")}, Column{Field: "result", Title: t("结果", "Result")}, Column{Field: "Value", Title: t("次数", "Times")}),
			}},
			{t("被监测系统", "What is watched"), []Panel{
				panel(Bars, t("登录（按结果）", "Sign-ins by outcome"), "", lucene(`event.category:authentication`, "count", "", "event.outcome")),
				panel(Table, t("登录失败最多的账号", "Accounts with failed sign-ins"), "", overall(`event.category:authentication AND event.outcome:failure`, "count", "", "user.name")).
					columns(Column{Field: "user.name", Title: t("账号", "Account")}, Column{Field: "Count", Title: t("失败次数", "Failures")}),
				panel(Logs, t("登录失败日志", "Failed sign-ins"), "", logql(`{source=~".+"} | event_category="authentication" | event_outcome="failure"`, Text{})),
			}},
		}}
}
