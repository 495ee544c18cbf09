package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"icewatch/collectors/fleet/wire"
)

// clouds asks a cloud's service for what the host is there. Only the service of the cloud that the
// hardware names is asked, so that elsewhere nothing goes out. base replaces the service's address in tests.
type clouds struct {
	hardware string // folder of DMI
	base     string
}

var thisCloud = clouds{hardware: "/sys/class/dmi/id"}

const maxMetadata = 64 << 10

// read tells what the host is in its cloud; errAbsent where it is in none that is known.
func (c clouds) read(ctx context.Context) (*wire.CloudInstance, error) {
	var text strings.Builder
	for _, name := range []string{"sys_vendor", "product_name", "chassis_vendor", "chassis_asset_tag"} {
		data, err := os.ReadFile(filepath.Join(c.hardware, name))
		if err == nil {
			text.WriteString(strings.TrimSpace(string(data)) + "\n")
		}
	}
	for _, known := range []struct {
		sign, provider string
		ask            func(context.Context, string) (*wire.CloudInstance, error)
		service        string
	}{
		{"Alibaba Cloud", "alibaba", askAlibaba, "http://100.100.100.200"},
		{"Amazon EC2", "aws", askAmazon, "http://169.254.169.254"},
		{"Tencent Cloud", "tencent", askTencent, "http://169.254.0.23"},
		{"HUAWEICLOUD", "huawei", askOpenStack, "http://169.254.169.254"},
		{"Huawei Cloud", "huawei", askOpenStack, "http://169.254.169.254"},
		{"OpenStack", "openstack", askOpenStack, "http://169.254.169.254"},
	} {
		if !strings.Contains(text.String(), known.sign) {
			continue
		}
		if c.base != "" {
			known.service = c.base
		}
		v, err := known.ask(ctx, known.service)
		if err != nil {
			return nil, fmt.Errorf("ask the metadata service of the cloud (%s): %w", known.provider, err)
		}
		v.Provider = known.provider
		for _, s := range []*string{&v.Instance, &v.Type, &v.Region, &v.Zone, &v.Account} {
			*s = cut(strings.TrimSpace(*s))
		}
		if v.Instance == "" {
			return nil, fmt.Errorf("the metadata service of the cloud (%s) names no instance", known.provider)
		}
		return v, nil
	}
	return nil, errAbsent
}

// metadata reads one answer. Proxies are not used: the service is the host's own.
func metadata(ctx context.Context, method, url string, header http.Header) ([]byte, error) {
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
	return bytes.TrimSpace(data), err
}

// lines reads answers of one value each; one that is not there stays empty.
func lines(ctx context.Context, base string, into map[string]*string) error {
	var last error
	for path, v := range into {
		data, err := metadata(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			last = err
			continue
		}
		*v = string(data)
	}
	return last
}

// askAlibaba follows https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata.
func askAlibaba(ctx context.Context, base string) (*wire.CloudInstance, error) {
	v := &wire.CloudInstance{}
	const at = "/latest/meta-data/"
	err := lines(ctx, base, map[string]*string{at + "instance-id": &v.Instance, at + "instance/instance-type": &v.Type, at + "region-id": &v.Region, at + "zone-id": &v.Zone, at + "owner-account-id": &v.Account})
	if v.Instance == "" {
		return nil, err
	}
	return v, nil
}

// askTencent follows https://www.tencentcloud.com/document/product/213/4934.
func askTencent(ctx context.Context, base string) (*wire.CloudInstance, error) {
	v := &wire.CloudInstance{}
	const at = "/latest/meta-data/"
	err := lines(ctx, base, map[string]*string{at + "instance-id": &v.Instance, at + "instance/instance-type": &v.Type, at + "placement/region": &v.Region, at + "placement/zone": &v.Zone, at + "app-id": &v.Account})
	if v.Instance == "" {
		return nil, err
	}
	return v, nil
}

// askAmazon follows https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html, by session.
func askAmazon(ctx context.Context, base string) (*wire.CloudInstance, error) {
	token, err := metadata(ctx, http.MethodPut, base+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"60"}})
	if err != nil {
		return nil, err
	}
	data, err := metadata(ctx, http.MethodGet, base+"/latest/dynamic/instance-identity/document", http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}})
	if err != nil {
		return nil, err
	}
	var d struct{ InstanceID, InstanceType, Region, AvailabilityZone, AccountID string }
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	return &wire.CloudInstance{Instance: d.InstanceID, Type: d.InstanceType, Region: d.Region, Zone: d.AvailabilityZone, Account: d.AccountID}, nil
}

// askOpenStack follows https://docs.openstack.org/nova/latest/user/metadata.html, which Huawei Cloud
// and platforms of OpenStack speak.
func askOpenStack(ctx context.Context, base string) (*wire.CloudInstance, error) {
	data, err := metadata(ctx, http.MethodGet, base+"/openstack/latest/meta_data.json", nil)
	if err != nil {
		return nil, err
	}
	var d struct {
		UUID             string `json:"uuid"`
		AvailabilityZone string `json:"availability_zone"`
		Project          string `json:"project_id"`
		Region           string `json:"region_id"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	v := &wire.CloudInstance{Instance: d.UUID, Region: d.Region, Zone: d.AvailabilityZone, Account: d.Project}
	_ = lines(ctx, base, map[string]*string{"/latest/meta-data/instance-type": &v.Type}) // It is not everywhere.
	return v, nil
}
