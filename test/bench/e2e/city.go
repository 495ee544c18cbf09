package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// tenants are some of those that every suite has.
var tenants = []string{"e-seal", "video-conference", "data-centre-bigdata", "alipay-mini-program"}

// host is a configuration item that sends events.
type host struct {
	name, address string
	tenant        int
}

// city is an inventory: servers, workstations and firewalls, of several
// tenants, each with business systems of its own.
type city struct {
	servers, windows, firewalls []host
	outside                     []string // addresses of the Internet
	users                       []string
}

func newCity(items int, seed uint64) *city {
	r := rand.New(rand.NewPCG(seed, 1))
	c := &city{}
	for i := range items {
		h := host{tenant: i % len(tenants), address: fmt.Sprintf("10.%d.%d.%d", 10+i%len(tenants), i/250%250, 1+i%250)}
		switch {
		case i%50 == 0:
			h.name = fmt.Sprintf("fw-%04d", i)
			c.firewalls = append(c.firewalls, h)
		case i%3 == 0:
			h.name = fmt.Sprintf("WIN-%05d", i)
			c.windows = append(c.windows, h)
		default:
			h.name = fmt.Sprintf("web-%04d", i)
			c.servers = append(c.servers, h)
		}
	}
	for range 20_000 {
		c.outside = append(c.outside, fmt.Sprintf("%d.%d.%d.%d", 101+r.IntN(60), r.IntN(256), r.IntN(256), 1+r.IntN(254)))
	}
	for i := range 2000 {
		c.users = append(c.users, fmt.Sprintf("%s%02d", family[r.IntN(len(family))], i%100))
	}
	return c
}

var family = []string{"wangwei", "lina", "zhangmin", "liuyang", "chenjing", "yangfan", "zhaolei", "huangli", "zhoujie", "wuqiang"}

const systemsEach = 25 // business systems of a tenant

// yaml is the inventory as the CMDB imports it.
func (c *city) yaml() []byte {
	var b bytes.Buffer
	b.WriteString("items:\n")
	for i, t := range tenants {
		fmt.Fprintf(&b, "  - {class: network, name: net-%s, tenant: %s, zone: default, addresses: [10.%d.0.0/16]}\n", t, t, 10+i)
		for n := range systemsEach {
			fmt.Fprintf(&b, "  - {class: business_system, id: bs-%d-%d, name: 业务系统 %d-%d, tenant: %s, criticality: %d, owner: 运维组 %d}\n", i, n, i, n, t, 1+n%5, i)
		}
	}
	n := 0
	for _, list := range [][]host{c.servers, c.windows, c.firewalls} {
		for _, h := range list {
			n++
			fmt.Fprintf(&b, "  - {class: host, id: h-%d, name: %s, tenant: %s, zone: default, addresses: [%s], hostnames: [%s.gov.example], criticality: %d, owner: 运维组 %d, system: bs-%d-%d}\n",
				n, h.name, tenants[h.tenant], h.address, h.name, 1+n%5, h.tenant, h.tenant, n%systemsEach)
		}
	}
	return b.Bytes()
}
