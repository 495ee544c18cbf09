package discovered

import (
	"context"
	"fmt"

	"icewatch/cmdb"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// providers are the words of the CMDB's dictionary for clouds, and what items are called by.
var providers = map[string]struct{ word, name string }{
	"alibaba": {"alibaba", "阿里云"}, "huawei": {"huawei", "华为云"}, "tencent": {"tencent", "腾讯云"}, "aws": {"other", "AWS"}, "openstack": {"private", "OpenStack"},
}

// cloud writes what a virtual machine is in its cloud: the instance, and the account that it is of,
// which becomes an item of its own.
func (f *Feed) cloud(ctx context.Context, a fleet.Agent, host cmdb.Item, c *wire.CloudInstance, opts cmdb.ImportOptions) error {
	if c == nil || c.Instance == "" || host.Class != "vm" {
		return nil
	}
	set := map[string]*string{}
	if host.Attributes["instance_id"] != c.Instance {
		set["instance_id"] = &c.Instance
	}
	if provider, known := providers[c.Provider]; known && c.Account != "" && host.Attributes["cloud_account"] == "" {
		account, err := f.account(ctx, a, provider.word, provider.name, c, opts)
		if err != nil {
			return err
		}
		set["cloud_account"] = &account
	}
	if len(set) == 0 {
		return nil
	}
	class := host.Class
	if _, err := f.upsert(ctx, []cmdb.Fields{{ID: &host.ID, Class: &class, Attributes: set}}, opts); err != nil {
		return fmt.Errorf("what the host is in its cloud: %w", err)
	}
	return nil
}

// account is the item of an account, which is made where there is none.
func (f *Feed) account(ctx context.Context, a fleet.Agent, provider, called string, c *wire.CloudInstance, opts cmdb.ImportOptions) (string, error) {
	class, name := "cloud_account", called+" "+c.Account
	page, err := f.cmdb.Items(ctx, reach.Tenants(a.Tenant), cmdb.Filter{Classes: []string{class}, Tenants: []string{a.Tenant}, Query: c.Account, Limit: 100})
	if err != nil {
		return "", err
	}
	for _, it := range page.Items {
		if it.Attributes["account_id"] == c.Account && it.Attributes["provider"] == provider {
			return it.ID, nil
		}
	}
	w := cmdb.Fields{Class: &class, Name: &name, Tenant: &a.Tenant, Attributes: map[string]*string{"provider": &provider, "account_id": &c.Account}}
	if c.Region != "" {
		w.Attributes["cloud_region"] = &c.Region
	}
	report, err := f.upsert(ctx, []cmdb.Fields{w}, opts)
	if err == nil && len(report.IDs) == 0 {
		err = fmt.Errorf("it has no id")
	}
	if err != nil {
		return "", fmt.Errorf("the account of the cloud: %w", err)
	}
	return report.IDs[0], nil
}
