package inventory

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/collectors/fleet/wire"
)

// TestClouds asks services that answer as the published interfaces of the clouds say; a host
// whose hardware names no cloud asks nobody.
func TestClouds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hardware map[string]string
		answers  map[string]string
		want     wire.CloudInstance
		err      string
	}{
		"alibaba": {map[string]string{"sys_vendor": "Alibaba Cloud\n", "product_name": "Alibaba Cloud ECS\n"}, map[string]string{"/latest/meta-data/instance-id": "i-bp1\n", "/latest/meta-data/instance/instance-type": "ecs.g7.large", "/latest/meta-data/region-id": "cn-hangzhou", "/latest/meta-data/zone-id": "cn-hangzhou-i", "/latest/meta-data/owner-account-id": "1609"},
			wire.CloudInstance{Provider: "alibaba", Instance: "i-bp1", Type: "ecs.g7.large", Region: "cn-hangzhou", Zone: "cn-hangzhou-i", Account: "1609"}, ""},
		"tencent": {map[string]string{"sys_vendor": "Tencent Cloud"}, map[string]string{"/latest/meta-data/instance-id": "ins-1", "/latest/meta-data/placement/region": "ap-guangzhou"}, wire.CloudInstance{Provider: "tencent", Instance: "ins-1", Region: "ap-guangzhou"}, ""},
		"amazon": {map[string]string{"sys_vendor": "Amazon EC2"}, map[string]string{"PUT /latest/api/token": "T", "T /latest/dynamic/instance-identity/document": `{"accountId":"123","instanceId":"i-0a","instanceType":"t3.micro","region":"cn-north-1","availabilityZone":"cn-north-1a"}`},
			wire.CloudInstance{Provider: "aws", Instance: "i-0a", Type: "t3.micro", Region: "cn-north-1", Zone: "cn-north-1a", Account: "123"}, ""},
		"huawei": {map[string]string{"chassis_asset_tag": "HUAWEICLOUD", "product_name": "OpenStack Nova"}, map[string]string{"/openstack/latest/meta_data.json": `{"uuid":"u-1","availability_zone":"cn-south-1a","project_id":"p","region_id":"cn-south-1"}`, "/latest/meta-data/instance-type": "s6.large.2"},
			wire.CloudInstance{Provider: "huawei", Instance: "u-1", Type: "s6.large.2", Region: "cn-south-1", Zone: "cn-south-1a", Account: "p"}, ""},
		"openstack": {map[string]string{"product_name": "OpenStack Compute"}, map[string]string{"/openstack/latest/meta_data.json": `{"uuid":"u-2"}`}, wire.CloudInstance{Provider: "openstack", Instance: "u-2"}, ""},
		"broken":    {map[string]string{"product_name": "OpenStack Compute"}, map[string]string{"/openstack/latest/meta_data.json": `{`}, wire.CloudInstance{}, "(openstack)"},
		"silent":    {map[string]string{"sys_vendor": "Alibaba Cloud"}, nil, wire.CloudInstance{}, "404"},
		"nowhere":   {map[string]string{"sys_vendor": "QEMU"}, nil, wire.CloudInstance{}, "absent"},
	} {
		dir := t.TempDir()
		for n, v := range c.hardware {
			if err := os.WriteFile(filepath.Join(dir, n), []byte(v), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		asked := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			key := r.URL.Path
			if r.Method == http.MethodPut {
				key = "PUT " + key
			} else if s := r.Header.Get("X-Aws-Ec2-Metadata-Token"); s != "" {
				key = s + " " + key
			}
			if a, ok := c.answers[key]; ok {
				_, _ = io.WriteString(w, a)
				return
			}
			http.NotFound(w, r)
		}))
		got, err := clouds{dir, srv.URL}.read(t.Context())
		srv.Close()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, errAbsent) != (name == "nowhere") || name == "nowhere" && asked > 0 {
				t.Errorf("%s: %v, asked %d times", name, err, asked)
			}
			continue
		}
		if err != nil || *got != c.want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}
