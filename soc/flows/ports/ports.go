// Package ports knows the ports of services: their names, as far as a city
// meets them, and which end of a connection is the one that serves. The names
// are those of IANA's registry of service names where it has the port, and
// what everybody calls the product where it has not.
package ports

import "net/netip"

var names = map[uint16]string{
	20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 49: "tacacs", 53: "dns", 67: "dhcp", 68: "dhcp-client", 69: "tftp", 79: "finger",
	80: "http", 88: "kerberos", 102: "iso-tsap", 110: "pop3", 111: "sunrpc", 119: "nntp", 123: "ntp", 135: "msrpc", 137: "netbios-ns", 138: "netbios-dgm",
	139: "netbios-ssn", 143: "imap", 161: "snmp", 162: "snmp-trap", 179: "bgp", 194: "irc", 389: "ldap", 427: "svrloc", 443: "https", 445: "smb",
	464: "kpasswd", 465: "smtps", 500: "isakmp", 502: "modbus", 512: "rexec", 513: "rlogin", 514: "syslog", 515: "printer", 520: "rip", 548: "afp",
	554: "rtsp", 587: "submission", 631: "ipp", 636: "ldaps", 873: "rsync", 989: "ftps-data", 990: "ftps", 993: "imaps", 995: "pop3s",
	1080: "socks", 1194: "openvpn", 1433: "ms-sql", 1434: "ms-sql-browser", 1521: "oracle", 1701: "l2tp", 1723: "pptp", 1812: "radius", 1813: "radius-acct",
	1883: "mqtt", 1900: "ssdp", 2049: "nfs", 2055: "netflow", 2181: "zookeeper", 2375: "docker", 2376: "docker-tls", 2379: "etcd", 2514: "relp", 2881: "oceanbase",
	3000: "grafana", 3128: "http-proxy", 3260: "iscsi", 3268: "global-catalog", 3269: "global-catalog-tls", 3306: "mysql", 3389: "rdp", 3478: "stun", 4222: "nats", 4317: "otlp-grpc", 4318: "otlp-http",
	4369: "epmd", 4500: "ipsec-nat-t", 4739: "ipfix", 4789: "vxlan", 5044: "beats", 5060: "sip", 5061: "sips", 5222: "xmpp", 5236: "dameng", 5353: "mdns", 5355: "llmnr",
	5432: "postgresql", 5514: "syslog", 5601: "kibana", 5666: "nrpe", 5671: "amqps", 5672: "amqp", 5900: "vnc", 5985: "winrm", 5986: "winrm-tls", 6081: "geneve",
	6343: "sflow", 6379: "redis", 6443: "kubernetes", 6514: "syslog-tls", 6667: "irc", 7001: "weblogic", 8000: "http-alt", 8009: "ajp", 8080: "http-alt", 8081: "http-alt",
	8086: "influxdb", 8088: "http-alt", 8443: "https-alt", 8848: "nacos", 8883: "mqtts", 8888: "http-alt", 9000: "http-alt", 9042: "cassandra", 9090: "prometheus", 9092: "kafka", 9093: "kafka-tls",
	9100: "jetdirect", 9162: "snmp-trap", 9200: "elasticsearch", 9300: "elasticsearch-node", 9418: "git", 9428: "victorialogs", 10050: "zabbix-agent", 10051: "zabbix", 10250: "kubelet",
	11211: "memcached", 15672: "rabbitmq-admin", 20880: "dubbo", 26379: "redis-sentinel", 27017: "mongodb", 50000: "db2", 54321: "kingbase",
}

// Name returns the name of the service at a port, or "".
func Name(port uint16) string { return names[port] }

// ServerIsDestination tells which end of a connection serves, as far as ports
// can tell; exporters see one direction at a time and do not know who began.
// Both directions of a connection give the same answer: the end with a port of
// a service serves, of two such or of none the lower port, and where the ports
// are the same the lower address.
func ServerIsDestination(source netip.Addr, sourcePort uint16, destination netip.Addr, destinationPort uint16) bool {
	if sourcePort == destinationPort {
		return destination.Compare(source) < 0
	}
	if from, to := service(sourcePort), service(destinationPort); from != to {
		return to
	}
	return destinationPort < sourcePort
}

// service tells whether a port is one that services have.
func service(port uint16) bool {
	if port == 0 {
		return false
	}
	if port < 1024 {
		return true
	}
	_, ok := names[port]
	return ok
}
