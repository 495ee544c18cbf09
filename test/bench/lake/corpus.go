package main

import (
	"fmt"
	"time"
)

// corpus makes the events that all three stores take in: web access of a
// city's government applications, 20 ECS fields and a time each. Event i is
// always the same.
type corpus struct {
	from int64 // time of the first event, in Unix nanoseconds
	step int64 // between events
}

// The dimensions of the corpus.
const (
	hosts    = 200
	services = 46
	people   = 5000
	pages    = 2000
	clients  = 40_000
	rare     = 1_000_000 // one event in so many has a needle for a path
)

// field names, in the order of the values.
var fieldNames = [...]string{"event.dataset", "event.category", "event.action", "event.outcome", "host.name", "service.name", "source.ip", "source.port",
	"destination.ip", "destination.port", "network.transport", "network.bytes", "user.name", "process.name", "http.request.method",
	"http.response.status_code", "url.path", "user_agent.name", "event.severity", "log.level"}

const fieldCount = len(fieldNames)

// numeric are the places of the values that JSON shows without quotes.
var numeric = [fieldCount]bool{7: true, 9: true, 11: true, 15: true, 18: true}

var (
	actions  = [...]string{"access", "access", "access", "access", "login", "download", "upload", "query"}
	ports    = [...]string{"443", "443", "443", "80", "8080", "8443"}
	methods  = [...]string{"GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE"}
	statuses = [...]string{"200", "200", "200", "200", "200", "200", "302", "304", "403", "404", "500", "502"}
	programs = [...]string{"nginx", "nginx", "tomcat", "haproxy"}
	agents   = [...]string{"Chrome", "Chrome", "Chrome", "Edge", "Edge", "Firefox", "360", "Safari", "WeChat", "curl"}
)

// event is one event.
type event struct {
	time   int64
	host   int
	values [fieldCount]string
}

// draw is a source of numbers that depends on the event alone (splitmix64).
type draw uint64

func (d *draw) next(n uint64) uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) % n
}

// skewed draws small numbers more often, as people, pages and addresses come:
// the first hundredth of them makes about a third of all.
func (d *draw) skewed(n uint64) uint64 {
	x := d.next(1 << 16)
	x = x * x >> 16
	return x * x >> 16 * n >> 16
}

// The values that come again are rendered once: the load generator shares the
// machine with what it measures.
var (
	webs, apps, users, inner, numbers = table(hosts, "web-%d"), table(services, "app-%d"), table(people, "user%d"), table(hosts, "172.16.8.%d"), table(66_000, "%d")
	addresses                         = func() (list []string) {
		for i := range clients {
			list = append(list, fmt.Sprintf("10.%d.%d.%d", i%180, i/180%250, i%251))
		}
		return list
	}()
	paths = func() (list []string) {
		for i := range pages {
			list = append(list, fmt.Sprintf("/service/%d/page/%d", i%37, i))
		}
		return list
	}()
)

func table(n int, format string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}

func (c corpus) event(i uint64, e *event) {
	d := draw(i * 0x2545f4914f6cdd1d)
	e.time = c.from + int64(i)*c.step
	e.host = int(d.next(hosts))
	service, who, client, page := d.next(services), d.skewed(people), d.skewed(clients), d.skewed(pages)
	status := statuses[d.next(uint64(len(statuses)))]
	outcome, level, severity := "success", "info", "1"
	if status >= "400" {
		outcome, level, severity = "failure", "warn", "3"
	}
	path := paths[page]
	if i%rare == rare/2 {
		path = "/export/" + needle(i)
	}
	e.values = [fieldCount]string{"gov.access", "web", actions[d.next(uint64(len(actions)))], outcome, webs[e.host], apps[service], addresses[client],
		numbers[1024+d.next(64000)], inner[e.host], ports[d.next(uint64(len(ports)))], "tcp", numbers[200+d.skewed(60_000)], users[who],
		programs[d.next(uint64(len(programs)))], methods[d.next(uint64(len(methods)))], status, path, agents[d.next(uint64(len(agents)))], severity, level}
}

// needle is what only event i has.
func needle(i uint64) string {
	d := draw(i)
	return fmt.Sprintf("%012x", d.next(1<<48))
}

// appendJSON renders the event as shippers send it.
func (e *event) appendJSON(b []byte) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = time.Unix(0, e.time).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	for i, v := range e.values {
		b = append(b, ',', '"')
		b = append(b, fieldNames[i]...)
		b = append(b, '"', ':')
		if numeric[i] {
			b = append(b, v...)
			continue
		}
		b = append(b, '"')
		b = append(b, v...)
		b = append(b, '"')
	}
	return append(b, '}')
}
