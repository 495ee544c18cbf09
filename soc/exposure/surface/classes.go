package surface

import (
	"regexp"
	"slices"
	"strings"
)

// kinds are what devices say of themselves (sysDescr, banners, titles of their web
// pages), by the class of the CMDB and the type of device, the more particular first.
var kinds = []struct {
	class, kind string
	says        *regexp.Regexp
}{
	{"security_device", "", regexp.MustCompile(`(?i)\b(firewall|fortigate|fortios|palo alto|pan-os|hillstone|stoneos|topsec|netscreen|screenos|cisco adaptive security|checkpoint gaia|usg\d{4}|secpath|eudemon|nsfocus|sangfor|venustech|waf)\b|防火墙|下一代防火墙|入侵防御|入侵检测`)},
	{"storage", "", regexp.MustCompile(`(?i)\b(netapp|data ontap|oceanstor|synology|diskstation|qnap|emc (unity|vnx|isilon)|powerstore|truenas|3par|storeonce)\b`)},
	{"network_device", "load_balancer", regexp.MustCompile(`(?i)\b(big-ip|netscaler|alteon|a10 networks|load balancer)\b|负载均衡`)},
	{"network_device", "wireless_controller", regexp.MustCompile(`(?i)\b(wireless (lan )?controller|wlan controller|airespace|mobility controller)\b|无线控制器`)},
	{"network_device", "access_point", regexp.MustCompile(`(?i)\b(access point|aironet|airengine|unifi ap)\b|无线接入点`)},
	{"network_device", "switch", regexp.MustCompile(`(?i)\b(catalyst|nexus|nx-os|switch|s[3-9]7\d\d|ce\d{4}|cloudengine|procurve|arista|comware.*s\d{4}|powerconnect|rg-s\d{4})\b|交换机`)},
	{"network_device", "router", regexp.MustCompile(`(?i)\b(router|routeros|mikrotik|junos|ios xr|ar\d{3,4}|ne\d{2}[e]?|msr\d{2,4}|edgeos|vyos)\b|路由器`)},
	{"network_device", "other", regexp.MustCompile(`(?i)\b(cisco ios|huawei vrp|versatile routing platform|h3c comware|comware|ruijie|zxr10)\b`)},
}

// classOf tells which class of the CMDB a host is, and the type of device where it is
// one of the network: what it says of itself counts, and a host is what says nothing.
func classOf(h *kept) (class, kind string) {
	// An operating system of computers, read on it or seen, is a computer's.
	if h.Attributes["kernel"] != "" {
		return "host", ""
	}
	says := []string{h.Attributes["description"], h.OS, h.Attributes["model"]}
	if slices.ContainsFunc(computing, func(os string) bool { return strings.Contains(strings.Join(says, "\n"), os) }) {
		return "host", ""
	}
	for i := range h.Services {
		if v := &h.Services[i]; v.Category != "database" && v.Category != "middleware" {
			says = append(says, v.Product, v.Server, v.Title)
		}
	}
	text := strings.Join(says, "\n")
	for _, k := range kinds {
		if k.says.MatchString(text) {
			return k.class, k.kind
		}
	}
	return "host", ""
}

// computing are operating systems of computers, as agents of SNMP and banners name them.
var computing = []string{"Windows", "Ubuntu", "Debian", "Kylin", "openEuler", "CentOS", "Red Hat", "FreeBSD", "SUSE", "UnionTech", "#1 SMP"}
