package ticketing

import (
	"fmt"
	"math"

	"icewatch/detections"
	"icewatch/ticketing/topology"
)

// Root is the likely root of an incident of faults.
type Root struct {
	ItemID   string          `json:"item_id,omitempty" doc:"Absent where it is another tenant's"`
	Name     string          `json:"name,omitempty"`
	Class    string          `json:"class,omitempty"`
	Alerted  bool            `json:"alerted" doc:"It has alerts of its own in this incident"`
	Inferred bool            `json:"inferred" doc:"It tells nothing itself: most of what depends on it fails"`
	Why      topology.Why    `json:"why" enum:"alone,upstream,earliest,central,inferred"`
	Since    Time            `json:"since" format:"date-time"`
	Reason   detections.Text `json:"reason"`
	Items    int             `json:"items" doc:"Failing items in this incident"`
	Affected int             `json:"affected" doc:"Of these, the root apart, how many lie downstream of it"`
	Coverage float64         `json:"coverage" doc:"Share of all items that fail around it that it explains, 0 to 1"`
}

// nameRoot writes down in an incident what is thought to be its root, and why.
func (c *correlation) nameRoot(i *incident, tenant string, items []string, list []faultRow, g *topology.Group, root NamedItem) {
	r := &Root{Why: g.Why, Inferred: g.Why == topology.Inferred, Items: len(items), Affected: len(items)}
	since, own := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, l := range list {
		if since = min(since, l.First); l.Item == root.ID {
			own, r.Alerted = min(own, l.First), true
		}
	}
	if r.Alerted {
		since, r.Affected = own, r.Affected-1
	}
	r.Since = at(since)
	if root.Tenant == "" || root.Tenant == tenant {
		r.ItemID, r.Name, r.Class = root.ID, firstOf(root.Name, root.ID), root.Class
	}
	if r.Coverage = 1; g.Around > 0 {
		r.Coverage = float64(g.Affected) / float64(g.Around)
	}
	r.Reason = reasonOf(r, g)
	i.items = []string{list[0].Item}
	if r.Alerted {
		i.items = []string{root.ID}
	}
	i.doc.Root, i.doc.Reasons = r, []detections.Text{r.Reason}
}

// reasonOf says why an item is thought to be the root.
func reasonOf(r *Root, g *topology.Group) detections.Text {
	zh, en := r.Name, r.Name
	if zh == "" {
		zh, en = "其他单位的配置项", "An item of another unit"
	}
	rest := detections.Text{ZH: fmt.Sprintf("，其下游 %d 个配置项随之故障，占周边故障的 %.0f%%。", r.Affected, 100*r.Coverage), EN: fmt.Sprintf("; %d items downstream of it fail with it, %.0f %% of all that fail around it.", r.Affected, 100*r.Coverage)}
	switch g.Why {
	case topology.Alone:
		return detections.Text{ZH: zh + " 发生故障，所依赖的配置项均未故障。", EN: en + " fails, and nothing that it depends on does."}
	case topology.Inferred:
		return detections.Text{ZH: fmt.Sprintf("推断：直接依赖 %s 的 %d 个配置项中有 %d 个同时故障，而它自身没有告警。", zh, g.Dependents, g.Failing),
			EN: fmt.Sprintf("Inferred: %d of the %d items that directly depend on %s fail at once; it has no alert itself.", g.Failing, g.Dependents, en)}
	case topology.Earliest:
		return detections.Text{ZH: zh + " 在相互影响的配置项中最先故障" + rest.ZH, EN: en + " failed first among items that affect each other" + rest.EN}
	case topology.Central:
		return detections.Text{ZH: zh + " 是相互影响的故障配置项的中心" + rest.ZH, EN: en + " is at the centre of the failing items that affect each other" + rest.EN}
	default:
		return detections.Text{ZH: zh + " 是最上游的故障配置项" + rest.ZH, EN: en + " is the item furthest upstream that fails" + rest.EN}
	}
}

// faultTitle says what failed and what fails with it.
func faultTitle(i *incident, steps detections.Text) detections.Text {
	r := i.doc.Root
	zh, en := r.Name, r.Name
	if zh == "" && i.doc.CI != nil {
		zh, en = i.doc.CI.Name, i.doc.CI.Name
	}
	if r.Affected == 0 {
		return detections.Text{ZH: zh + "：" + steps.ZH, EN: en + ": " + steps.EN}
	}
	t := detections.Text{ZH: fmt.Sprintf("%s 故障，波及 %d 个配置项：%s", zh, r.Affected, steps.ZH), EN: fmt.Sprintf("%s fails and takes %d items down: %s", en, r.Affected, steps.EN)}
	if r.Inferred {
		t = detections.Text{ZH: fmt.Sprintf("疑似 %s 故障，%d 个配置项受影响：%s", zh, r.Affected, steps.ZH), EN: fmt.Sprintf("%s probably fails; %d items are affected: %s", en, r.Affected, steps.EN)}
	}
	return t
}
