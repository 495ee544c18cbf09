package surface

import (
	"testing"

	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
)

// What devices say of themselves, from their makers' documented sysDescr.
func TestClassOf(t *testing.T) {
	t.Parallel()
	for says, want := range map[string][2]string{
		"Cisco IOS Software, C3750E Software (C3750E-UNIVERSALK9-M), Version 15.2(4)E8, RELEASE SOFTWARE (fc3)":                {"network_device", "other"},
		"Cisco NX-OS(tm) n9000, Software (n9000-dk9), Version 9.3(8)":                                                          {"network_device", "switch"},
		"S5735-L48T4S-A1 Huawei Versatile Routing Platform Software VRP (R) software, Version 5.170 (S5735 V200R019C10SPC500)": {"network_device", "switch"},
		"H3C Comware Platform Software, Software Version 7.1.070, Release 6126P20 H3C S5130S-28P-EI":                           {"network_device", "other"},
		"RouterOS CCR1009-7G-1C-1S+": {"network_device", "router"},
		"Juniper Networks, Inc. ex4300-48t Ethernet Switch, kernel JUNOS 18.4R2":                                {"network_device", "switch"},
		"Hillstone Networks Firewall SG-6000":                                                                   {"security_device", ""},
		"NetApp Release 9.8P4: Tue May 25":                                                                      {"storage", ""},
		"Linux web-1 5.10.0-19-amd64 #1 SMP Debian 5.10.149-2 (2022-10-21) x86_64":                              {"host", ""},
		"Hardware: Intel64 Family 6 Model 79 - Software: Windows Version 6.3 (Build 17763 Multiprocessor Free)": {"host", ""},
		"Linux router-vm 6.1.0 #1 SMP PREEMPT":                                                                  {"host", ""},
		"":                                                                                                      {"host", ""},
	} {
		h := &kept{SurfaceHost: SurfaceHost{Attributes: map[string]string{"description": says}}}
		if class, kind := classOf(h); class != want[0] || kind != want[1] {
			t.Errorf("%s: %s %s, want %v", says, class, kind, want)
		}
	}
	// A web console of a database is none of the host's.
	h := &kept{SurfaceHost: SurfaceHost{Services: []SurfaceService{{Category: "web", Title: "HUAWEI USG6330 防火墙"}}}}
	if class, _ := classOf(h); class != "security_device" {
		t.Error(class)
	}
}

// A switch becomes a network device, without the operating system of a computer, and a
// second discovery changes nothing of it.
func TestDevicesBecomeTheirClass(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		x := read(seen("10.0.0.60", "aa:00:00:00:00:60", "sw-core", 22), "description", "Arista Networks EOS version 4.27 switch", wire.AttributeEngine, "80003a8c04aa")
		if d := w.see("t", "default", scan.Create, x); d.Created != 1 {
			w.t.Fatalf("%+v", d)
		}
		it := w.item("default", "10.0.0.60")
		if it.Class != "network_device" || it.Attributes["device_type"] != "switch" || it.Attributes["os"] != "" || it.Attributes["snmp_engine"] == "" {
			w.t.Errorf("%+v", it)
		}
		if d := w.see("t", "default", scan.Create, x); d.Created+d.Updated+d.Conflicts != 0 || d.Known != 1 {
			w.t.Errorf("%+v", d)
		}
	})
}
