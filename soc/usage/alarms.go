package usage

import (
	"fmt"
	"strconv"

	"icewatch/detections"
	"icewatch/soc/watch"
)

// QuotaAlarms says which tenants near or have reached their quota.
func QuotaAlarms(list []Standing) (out []watch.Alarm) {
	for _, s := range list {
		if s.State == OK {
			continue
		}
		percent := strconv.Itoa(int(100 * s.Quota.Share(s.Events, s.Bytes)))
		a := watch.Alarm{Kind: "quota-reached", Key: "quota/" + s.Tenant + "/" + s.Day,
			Fields: map[string]string{"tenant": s.Tenant, "percent": percent, "events": strconv.FormatUint(s.Events, 10), "bytes": strconv.FormatUint(s.Bytes, 10), "refused": strconv.FormatUint(s.RefusedEvents, 10)}}
		zh, en := fmt.Sprintf("租户 %s 今日已用配额 %s%%（%d 条，%d 字节）", s.Tenant, percent, s.Events, s.Bytes),
			fmt.Sprintf("The tenant %s has used %s%% of its quota of today (%d events, %d bytes)", s.Tenant, percent, s.Events, s.Bytes)
		switch s.State {
		case Warning:
			a.Kind = "quota-warning"
			a.Key = "quota-warning/" + s.Tenant + "/" + s.Day
		case Refusing:
			a.Severity = detections.High
			zh += "；零点前不再接收其数据"
			en += "; nothing more of it is taken before midnight"
		}
		a.Detail = detections.Text{ZH: zh, EN: en}
		out = append(out, a)
	}
	return out
}
