// Package containers reads the containers of a host and what serves in them: Docker and podman by
// the API on their socket, pods by the kubelet where it answers on this host, or by the names of
// their logs; and which program listens on which port in each container, by /proc, in the
// container's own network. Nothing runs within a container for that.
package containers

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"icewatch/collectors/fleet/wire"
)

// Bounds of what is read.
const (
	maxContainers = 1000
	maxServices   = 100 // of a container
	maxAnswer     = 32 << 20
	maxText       = 300
)

// Places are where a host has what is read.
type Places struct {
	Sockets []string // of engines
	Proc    string
	Kubelet string // its API without sign-in, of this host
	Account string // folder of a pod's service account: token and ca.crt
	Secure  string // the kubelet's API with sign-in
	Logs    string // folder of the logs of pods' containers
}

// Host is this host.
var Host = Places{
	Sockets: []string{"/var/run/docker.sock", "/run/podman/podman.sock"}, Proc: "/proc",
	Kubelet: "http://127.0.0.1:10255", Secure: "https://127.0.0.1:10250", Account: "/var/run/secrets/kubernetes.io/serviceaccount",
	Logs: "/var/log/containers",
}

// Read lists the containers of all engines of the host; none where there is no engine. What
// one engine does not tell is an error, beside what the others told.
func (p Places) Read(ctx context.Context) (out []wire.Container, err error) {
	var errs []error
	add := func(list []wire.Container) {
		for i := range list {
			c := &list[i]
			at := slices.IndexFunc(out, func(o wire.Container) bool { return o.ID == c.ID })
			switch {
			case at >= 0: // An engine and the kubelet both know it.
				out[at].Pod, out[at].Namespace = cmp.Or(c.Pod, out[at].Pod), cmp.Or(c.Namespace, out[at].Namespace)
				out[at].Restarts = max(out[at].Restarts, c.Restarts)
			case len(out) < maxContainers:
				out = append(out, *c)
			}
		}
	}
	for _, socket := range p.Sockets {
		list, err := engine(ctx, socket)
		add(list)
		errs = append(errs, err)
	}
	list, err := p.pods(ctx)
	add(list)
	errs = append(errs, err)
	if err != nil || list == nil {
		add(p.logs())
	}
	if len(out) == 0 {
		return nil, errors.Join(errs...)
	}
	seen := p.processes()
	for i := range out {
		c := &out[i]
		c.Service, c.Version = Image(c.Image)
		pids := seen.of(c)
		if c.State == "" { // By its log alone.
			if c.State = "exited"; len(pids) > 0 {
				c.State = "running"
			}
		}
		if c.PID == 0 && len(pids) > 0 {
			c.PID = pids[0]
		}
		if c.State == "running" {
			p.serve(c, pids)
		} else {
			c.Services = nil
		}
	}
	slices.SortFunc(out, func(a, b wire.Container) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return out, errors.Join(errs...)
}

// serve tells on which ports programs of a container listen, and which of the ports that its
// engine names do not.
func (p Places) serve(c *wire.Container, pids []int) {
	named := c.Services
	c.Services = p.listening(pids)
	for i := range c.Services {
		s := &c.Services[i]
		if s.Service == "" && usual[c.Service] == s.Port {
			s.Service = c.Service
		}
		if s.Service != "" && s.Service == c.Service {
			s.Version = c.Version
		}
		if at := slices.IndexFunc(named, func(n wire.ContainerService) bool { return n.Port == s.Port && n.Protocol == s.Protocol }); at >= 0 {
			s.Published = named[at].Published
		}
	}
	for _, n := range named {
		if len(c.Services) < maxServices && !slices.ContainsFunc(c.Services, func(s wire.ContainerService) bool { return n.Port == s.Port && n.Protocol == s.Protocol }) {
			if usual[c.Service] == n.Port {
				n.Service, n.Version = c.Service, c.Version
			}
			c.Services = append(c.Services, n)
		}
	}
}

// State tells containers and their states apart from what they were: it changes when a container comes,
// goes, or is in another state.
func State(list []wire.Container) string {
	var b strings.Builder
	for i := range list {
		c := &list[i]
		b.WriteString(c.ID + " " + c.State + " " + c.Health + " " + strconv.Itoa(c.Restarts) + "\n")
	}
	return b.String()
}

// services are by the name of the process.
var services = map[string]string{"postgres": "postgresql", "redis-server": "redis", "valkey-server": "redis", "nginx": "nginx", "mysqld": "mysql", "mariadbd": "mysql", "mongod": "mongodb",
	"apache2": "apache", "httpd": "apache", "beam.smp": "rabbitmq", "memcached": "memcached", "haproxy": "haproxy", "sshd": "ssh", "dockerd": "docker", "kubelet": "kubernetes",
	"etcd": "etcd", "named": "dns", "dnsmasq": "dns", "coredns": "dns", "slapd": "ldap", "smbd": "smb", "vsftpd": "ftp", "snmpd": "snmp", "rsyslogd": "syslog", "sqlservr": "sqlserver", "oracle": "oracle",
	"kingbase": "kingbase", "dmserver": "dameng", "gaussdb": "opengauss", "tnslsnr": "oracle", "clickhouse-serv": "clickhouse", "prometheus": "prometheus", "nats-server": "nats", "minio": "minio",
	"traefik": "traefik", "envoy": "envoy", "grafana": "grafana", "vault": "vault", "consul": "consul", "registry": "registry", "node_exporter": "prometheus"}

// programs are services by what stands in the arguments of Java's virtual machine.
var programs = [][2]string{{"org.apache.catalina", "tomcat"}, {"kafka.Kafka", "kafka"}, {"QuorumPeerMain", "zookeeper"}, {"org.elasticsearch", "elasticsearch"}, {"org.opensearch", "elasticsearch"}, {"nacos", "nacos"}, {"activemq", "activemq"}, {"logstash", "logstash"}, {"rocketmq", "rocketmq"}}

// ServiceOf is what a process is known as, by its name and its arguments; "" is not known.
func ServiceOf(name string, args []string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".exe")
	if s := services[name]; s != "" || name != "java" {
		return s
	}
	line := strings.Join(args, " ")
	for _, p := range programs {
		if strings.Contains(line, p[0]) {
			return p[1]
		}
	}
	return ""
}

// images are services by the last name of an image.
var images = map[string]string{"postgres": "postgresql", "postgresql": "postgresql", "timescaledb": "postgresql", "redis": "redis", "redis-stack-server": "redis", "valkey": "redis", "nginx": "nginx", "nginx-unprivileged": "nginx", "openresty": "nginx",
	"mysql": "mysql", "mysql-server": "mysql", "mariadb": "mysql", "percona": "mysql", "mongo": "mongodb", "mongodb": "mongodb", "httpd": "apache", "apache": "apache", "tomcat": "tomcat", "rabbitmq": "rabbitmq", "kafka": "kafka", "cp-kafka": "kafka",
	"zookeeper": "zookeeper", "elasticsearch": "elasticsearch", "opensearch": "elasticsearch", "memcached": "memcached", "haproxy": "haproxy", "etcd": "etcd", "clickhouse": "clickhouse", "clickhouse-server": "clickhouse", "nacos-server": "nacos", "nacos": "nacos",
	"minio": "minio", "registry": "registry", "traefik": "traefik", "grafana": "grafana", "prometheus": "prometheus", "vault": "vault", "consul": "consul", "coredns": "dns", "opengauss": "opengauss", "kingbase": "kingbase", "dm8": "dameng", "nats": "nats", "openldap": "ldap",
	"activemq": "activemq", "rocketmq": "rocketmq", "logstash": "logstash", "envoy": "envoy"}

// usual are the ports on which images serve where nothing says otherwise.
var usual = map[string]int{"postgresql": 5432, "redis": 6379, "nginx": 80, "mysql": 3306, "mongodb": 27017, "apache": 80, "tomcat": 8080, "rabbitmq": 5672, "kafka": 9092, "zookeeper": 2181, "elasticsearch": 9200, "memcached": 11211, "etcd": 2379,
	"clickhouse": 8123, "nacos": 8848, "minio": 9000, "registry": 5000, "grafana": 3000, "prometheus": 9090, "vault": 8200, "consul": 8500, "dns": 53, "opengauss": 5432, "kingbase": 54321, "dameng": 5236, "nats": 4222, "ldap": 389, "activemq": 61616}

// Image tells what an image is and of which version, by its name and tag; "" is not known. A
// tag without digits, such as latest, is no version.
func Image(image string) (service, version string) {
	name, _, _ := strings.Cut(image, "@")
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, tag, _ := strings.Cut(name, ":")
	if service = images[strings.ToLower(name)]; service == "" {
		return "", ""
	}
	tag = strings.TrimPrefix(tag, "v")
	end := 0
	for end < len(tag) && (tag[end] >= '0' && tag[end] <= '9' || tag[end] == '.') {
		end++
	}
	return service, strings.Trim(tag[:end], ".")
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

func ok(r *http.Response) bool { return r.StatusCode == http.StatusOK }
