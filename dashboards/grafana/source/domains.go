package source

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	folders "icewatch/tenants"

	"icewatch/soc/tenancy"
)

// domain is a heading of the catalogue of tenants.
type domain struct {
	slug    string
	title   Text
	tenants []Value
}

// headings names the catalogue's headings, in its order.
var headings = []struct {
	slug  string
	title Text
}{
	{"data-resources", t("数据资源中心", "Data resources")},
	{"identity-and-trust", t("身份认证、证照与印章", "Identity, licences and seals")},
	{"service-channels", t("政务服务网与移动端", "Service site and mobile")},
	{"integrated-services", t("一体化政务服务", "Integrated services")},
	{"innovative-apps", t("创新应用", "Innovative applications")},
	{"service-hall", t("政务服务大厅", "Service hall")},
	{"social-governance", t("社会治理", "Social governance")},
	{"command-centre", t("运营指挥中心", "Command centre")},
}

// domains reads the catalogue.
func domains() ([]domain, error) {
	entries, err := fs.Glob(folders.FS, "*/tenant.yaml")
	if err != nil {
		return nil, err
	}
	of := map[string][]Value{}
	for _, name := range entries {
		text, err := fs.ReadFile(folders.FS, name)
		if err != nil {
			return nil, fmt.Errorf("read the tenant %s: %w", path.Dir(name), err)
		}
		e, err := tenancy.ParseEntry(name, text)
		if err != nil {
			return nil, err
		}
		of[e.Domain] = append(of[e.Domain], Value{Title: Text{ZH: e.Name.ZH, EN: e.Name.EN}, Value: e.Slug})
	}
	var list []domain
	for _, h := range headings {
		values := of[h.slug]
		if len(values) == 0 {
			return nil, fmt.Errorf("the catalogue has no tenant of the domain %q any more: take it out of the headings", h.slug)
		}
		slices.SortFunc(values, func(a, b Value) int { return strings.Compare(a.Value, b.Value) })
		list = append(list, domain{h.slug, h.title, values})
		delete(of, h.slug)
	}
	for slug := range of {
		return nil, fmt.Errorf("the catalogue has a domain %q without a heading: name it in headings", slug)
	}
	return list, nil
}

func (d *domain) board() Board {
	return Board{Name: "domain-" + d.slug, Title: Text{"领域：" + d.title.ZH, "Domain: " + d.title.EN},
		About: Text{fmt.Sprintf("“%s”领域 %d 个政务应用的接入、告警、事件、日志与主机。", d.title.ZH, len(d.tenants)),
			fmt.Sprintf("The %d applications of %q: what they send, their alerts, incidents, logs and hosts.", len(d.tenants), d.title.EN)},
		Vars: []Var{{Name: "tenant", Title: t("应用", "Tenant"), Values: d.tenants, Multi: true}},
		Rows: append([]Row{{t("应用对比", "Side by side"), []Panel{
			panel(Gauge, t("未关闭告警（按应用）", "Open alerts by tenant"), "", now(`sum by (tenant) (icewatch_alerts{tenant=~"$tenant"})`, both("{{tenant}}"))),
			panel(Gauge, t("今日事件数（按应用）", "Events today by tenant"), "", now(`sum by (tenant) (icewatch_tenant_day_events{tenant=~"$tenant"})`, both("{{tenant}}"))),
		}}}, ofTenants()...)}
}
