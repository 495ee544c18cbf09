package watch

import "icewatch/detections"

// Kind is one sort of thing that can be wrong with the suite itself.
type Kind struct {
	Name     string // the rule id is "icewatch-self-" and this
	Severity detections.Level
	Title    detections.Text
	Advice   detections.Text // what to do about it
}

// Kinds are all sorts that the suite raises, in the order of the documentation.
// A condition may say its own severity; the title and the advice are these.
var Kinds = []Kind{
	{"engine-down", detections.Critical,
		detections.Text{ZH: "引擎未响应", EN: "The engine does not answer"},
		detections.Text{ZH: "查看服务日志中 supervisor 与 engine 的报错；数据仍在接收并留在总线上，引擎恢复后自动补处理。",
			EN: "See the suite's log for what supervisor and engine say. Intake goes on into the bus; the engine catches up once it runs."}},
	{"engine-restarts", detections.High,
		detections.Text{ZH: "引擎反复重启", EN: "The engine restarts again and again"},
		detections.Text{ZH: "查看服务日志中引擎退出的原因：磁盘故障、内存不足或数据损坏。",
			EN: "See in the suite's log why it ends: a failing disk, too little memory, damaged data."}},
	{"disk-low", detections.High,
		detections.Text{ZH: "磁盘空间不足", EN: "The disk is nearly full"},
		detections.Text{ZH: "扩容、缩短保留期，或在存储策略中设置清理阈值。",
			EN: "Add space, shorten a retention class, or set a clearing threshold in the storage policy."}},
	{"disk-full", detections.Critical,
		detections.Text{ZH: "磁盘已满，停止接收数据", EN: "The disk is full: intake has stopped"},
		detections.Text{ZH: "立即释放空间。已确认的数据没有丢失；发送方收到“稍后重试”，无确认的协议（UDP）此时会丢数据。",
			EN: "Free space now. Nothing acknowledged is lost; senders that can wait are told to, those that cannot (UDP) lose events meanwhile."}},
	{"disk-days", detections.High,
		detections.Text{ZH: "磁盘即将写满", EN: "Few days of disk are left"},
		detections.Text{ZH: "按当前增长速度，磁盘将在期限内写满：查看存储页面中增长最快的租户与保留类。",
			EN: "At the present growth the disk will be full soon: see on the storage page which tenants and classes grow."}},
	{"bus-backlog", detections.High,
		detections.Text{ZH: "总线积压", EN: "The bus fills up"},
		detections.Text{ZH: "引擎处理慢于接收：检查磁盘与处理器负载、慢查询和引擎状态；总线写满后发送方会被要求等待。",
			EN: "The engine works slower than events come: look at disk and CPU load, slow searches and the engine. When the bus is full, senders must wait."}},
	{"bus-lag", detections.Medium,
		detections.Text{ZH: "事件处理延迟过大", EN: "Events are worked late"},
		detections.Text{ZH: "检测与检索落后于接收：检查引擎状态与负载。",
			EN: "Detection and search lag behind intake: look at the engine and its load."}},
	{"events-dropped", detections.High,
		detections.Text{ZH: "有事件被丢弃", EN: "Events are dropped"},
		detections.Text{ZH: "在“接收”页面按原因查看；每种原因的含义见运维文档。",
			EN: "See the reasons on the intake page; the operations manual says what each means."}},
	{"udp-drops", detections.Medium,
		detections.Text{ZH: "内核丢弃 UDP 报文", EN: "The kernel drops UDP packets"},
		detections.Text{ZH: "增大 net.core.rmem_max，或让发送方改用 TCP、TLS。",
			EN: "Raise net.core.rmem_max, or have the senders use TCP or TLS."}},
	{"quota-warning", detections.Low,
		detections.Text{ZH: "租户接近每日配额", EN: "A tenant nears its daily quota"},
		detections.Text{ZH: "查看该租户的用量；必要时调整配额或与发送方沟通。",
			EN: "See the tenant's usage; change the quota or talk to whoever sends."}},
	{"quota-reached", detections.Medium,
		detections.Text{ZH: "租户达到每日配额", EN: "A tenant has reached its daily quota"},
		detections.Text{ZH: "配额设为“拒绝”时，该租户的数据到零点前不再接收；可临时提高配额。",
			EN: "Where the quota says refuse, nothing more of the tenant is taken until midnight; raise the quota to go on."}},
	{"damage", detections.Critical,
		detections.Text{ZH: "发现损坏的数据并已隔离", EN: "Damaged data was found and set aside"},
		detections.Text{ZH: "检查磁盘健康状况；被隔离的文件见详情，可从备份恢复。",
			EN: "Check the disk's health. The detail names the files set aside; restore them from a backup."}},
	{"read-only", detections.Critical,
		detections.Text{ZH: "磁盘只读", EN: "A disk is read-only"},
		detections.Text{ZH: "磁盘空间不足或文件系统只读：事件留在总线上等待写入。",
			EN: "Too little disk is left, or the file system is read-only: events wait on the bus."}},
	{"bus-gap", detections.Critical,
		detections.Text{ZH: "总线上缺少批次", EN: "Batches are missing on the bus"},
		detections.Text{ZH: "这些批次中的事件没有入库：查看详情中的序号范围，并检查总线目录是否被改动。",
			EN: "Their events are not in the lake: see which in the detail, and whether somebody changed the bus's folder."}},
	{"server-down", detections.High,
		detections.Text{ZH: "存储服务器未响应", EN: "A server of the store does not answer"},
		detections.Text{ZH: "检查该服务器与网络；事件仍在接收，其余服务器可写时照常入库，检索需要全部服务器。",
			EN: "Check the server and the network. Intake goes on, and events are stored while another server takes them; searches need all servers."}},
	{"cold-stuck", detections.Medium,
		detections.Text{ZH: "旧日志未能迁移到冷存储", EN: "Old days do not go to the cold storage"},
		detections.Text{ZH: "检查冷存储磁盘的剩余空间与权限，或调整 cold_after。",
			EN: "See to the room and rights of the cold disk, or change cold_after."}},
	{"cold-away", detections.High,
		detections.Text{ZH: "冷存储不可用", EN: "The cold storage cannot be used"},
		detections.Text{ZH: "检查冷存储磁盘与挂载点，恢复后重启引擎；热数据的写入与检索不受影响。",
			EN: "Look at the cold disk and its mount point, then restart the suite. Newer days are stored and searched as ever."}},
	{"unsaved", detections.High,
		detections.Text{ZH: "运行状态无法保存", EN: "The engine's state cannot be saved"},
		detections.Text{ZH: "检查数据目录的权限与剩余空间；下次启动会多重放一些数据，不会丢失。",
			EN: "Check the data folder's rights and space. The next start replays more; nothing is lost."}},
	{"samples-refused", detections.Medium,
		detections.Text{ZH: "指标样本未入库", EN: "Samples of metrics were not stored"},
		detections.Text{ZH: "原因与示例见详情：多为样本过旧（超出保留期）或时间超前，检查发送方的时钟与积压。",
			EN: "See why in the detail: mostly samples older than the retention or ahead of time. Look at the sender's clock and backlog."}},
	{"source-silent", detections.Medium,
		detections.Text{ZH: "数据源静默", EN: "A source has gone silent"},
		detections.Text{ZH: "检查该设备及其日志转发配置；若已下线，请在数据源页面移除。",
			EN: "Check the device and how it forwards its log; if it is gone for good, forget it on the sources page."}},
	{"source-error", detections.Medium,
		detections.Text{ZH: "采集入口出错", EN: "A way in does not work"},
		detections.Text{ZH: "查看数据源页面中该入口的最近一次错误。",
			EN: "See its last error on the sources page."}},
	{"backup-failed", detections.High,
		detections.Text{ZH: "备份失败", EN: "A backup failed"},
		detections.Text{ZH: "查看备份页面中的错误；修复后手动执行一次备份。",
			EN: "See the error on the backups page; run one by hand once it is mended."}},
	{"backup-overdue", detections.High,
		detections.Text{ZH: "备份逾期", EN: "A backup is overdue"},
		detections.Text{ZH: "检查备份计划与目标位置。",
			EN: "Check the schedule and the target of backups."}},
	{"search-failed", detections.Medium,
		detections.Text{ZH: "定时检索失败", EN: "A scheduled search fails"},
		detections.Text{ZH: "打开该检索查看错误：语法、权限或超时。",
			EN: "Open the search and see why: its text, its owner's rights, or its time limit."}},
	{"clock-jump", detections.Medium,
		detections.Text{ZH: "系统时钟跳变", EN: "The clock jumped"},
		detections.Text{ZH: "检查 NTP/chrony；跳变期间的事件时间可能不准。",
			EN: "Check NTP or chrony; times of events around the jump may be off."}},
	{"storage-cleared", detections.High,
		detections.Text{ZH: "存储策略已清理旧数据", EN: "The storage policy cleared old data"},
		detections.Text{ZH: "数据提前于保留期被删除：扩容或缩短保留期。",
			EN: "Data went before its time: add space, or shorten the retention."}},
	{"storage-stuck", detections.Critical,
		detections.Text{ZH: "达到清理阈值但无可清理的数据", EN: "The clearing threshold is reached and nothing may be cleared"},
		detections.Text{ZH: "剩余数据受法定最短留存期（180 天）保护：请扩容。",
			EN: "What is left is protected by the legal minimum of 180 days: add space."}},
}

// kindOf returns a kind by its name. One that the list lacks is shown by name
// rather than not at all.
func kindOf(name string) Kind {
	for _, k := range Kinds {
		if k.Name == name {
			return k
		}
	}
	return Kind{Name: name, Severity: detections.Medium, Title: detections.Text{ZH: name, EN: name}}
}
