package source

func flows() Board {
	const all = `event.category:network AND _exists_:icewatch.flow.bytes`
	return Board{Name: "flows", Title: t("网络流量", "Flows"),
		About: t("流量按导出设备、协议、方向的分布，通信排行，流导出的健康。", "Traffic by exporter, protocol and direction, who talks most, and how the exporters fare."),
		Rows: []Row{
			{t("概况", "At a glance"), []Panel{
				panel(Stat, t("流量", "Traffic"), "bytes", lucene(all, "sum", "icewatch.flow.bytes")).summed(),
				panel(Stat, t("流记录数", "Flows"), "", lucene(all, "count", "")).summed(),
				panel(Stat, t("导出设备", "Exporters"), "", now(`sum(icewatch_flow_exporters)`, Text{})),
				panel(Stat, t("通信关系", "Edges of the map"), "", now(`icewatch_flow_edges`, Text{})),
				panel(Stat, t("丢失", "Lost on the way"), "", now(`sum(icewatch_flow_lost_total)`, Text{})).alarm(1, 1000).about("按导出设备序号推算的丢失。", "By the exporters' sequence numbers."),
				panel(Stat, t("未解码", "Not decoded"), "", now(`sum(icewatch_flow_undecoded_sets_total)`, Text{})).alarm(1, 100).about("等不到模板的数据集。", "Sets whose template never came."),
			}},
			{t("构成", "What it is made of"), []Panel{
				panel(Stack, t("流量（按导出设备）", "Bytes by exporter"), "bytes", lucene(all, "sum", "icewatch.flow.bytes", "observer.ip")),
				panel(Stack, t("流量（按传输协议）", "Bytes by transport"), "bytes", lucene(all, "sum", "icewatch.flow.bytes", "network.transport")),
				panel(Stack, t("流量（按方向）", "Bytes by direction"), "bytes", lucene(all, "sum", "icewatch.flow.bytes", "network.direction")),
				panel(Bars, t("流记录（按来源类型）", "Flows by kind of source"), "", lucene(all, "count", "", "event.dataset")),
			}},
			{t("排行", "Who talks most"), []Panel{
				panel(Table, t("发送最多的地址", "Top senders"), "bytes", overall(all, "sum", "icewatch.flow.bytes", "source.ip")).wide(8).columns(Column{Field: "source.ip", Title: t("地址", "Address")}, Column{Field: "Sum icewatch.flow.bytes", Title: t("流量", "Bytes"), Unit: "bytes"}),
				panel(Table, t("接收最多的地址", "Top receivers"), "bytes", overall(all, "sum", "icewatch.flow.bytes", "destination.ip")).wide(8).columns(Column{Field: "destination.ip", Title: t("地址", "Address")}, Column{Field: "Sum icewatch.flow.bytes", Title: t("流量", "Bytes"), Unit: "bytes"}),
				panel(Table, t("服务端口排行", "Top services"), "bytes", overall(all, "sum", "icewatch.flow.bytes", "server.port")).wide(8).columns(Column{Field: "server.port", Title: t("端口", "Port")}, Column{Field: "Sum icewatch.flow.bytes", Title: t("流量", "Bytes"), Unit: "bytes"}),
			}},
		}}
}

func traces() Board {
	const all = `data_stream.type:traces`
	return Board{Name: "traces", Title: t("应用调用链", "Traces"),
		About: t("应用服务的请求量、失败、时延与调用链。", "Requests, failures and latency of services, and their traces."),
		Vars:  []Var{{Name: "service", Title: t("服务", "Service"), Source: Elasticsearch, Query: `{"find":"terms","field":"service.name","query":"data_stream.type:traces"}`}},
		Rows: []Row{
			{t("请求", "Requests"), []Panel{
				panel(Bars, t("跨度（按服务）", "Spans by service"), "", lucene(all, "count", "", "service.name")),
				panel(Bars, t("失败（按服务）", "Failures by service"), "", lucene(all+` AND event.outcome:failure`, "count", "", "service.name")),
				panel(Series, t("95 分位时延（按服务）", "95th percentile by service"), "ns", lucene(all, "p95", "event.duration", "service.name")),
				panel(Table, t("最忙的操作", "Operations"), "", overall(all, "count", "", "service.name", "span.name")).
					columns(Column{Field: "service.name", Title: t("服务", "Service")}, Column{Field: "span.name", Title: t("操作", "Operation")}, Column{Field: "Count", Title: t("次数", "Spans")}),
			}},
			{t("调用链", "Traces"), []Panel{
				panel(Table, t("最近的调用链", "Newest traces"), "", Target{Source: Jaeger, Service: "$service"}).wide(24).high(10),
			}},
		}}
}
