package main

import (
	"fmt"
	"math/rand/v2"

	"icewatch/soc/event"
)

// ringSize is how many events are made; they come again and again, each time
// with a time and an identity of their own.
const ringSize = 200_000

// city makes events as a city's systems write them: connections, web access,
// sign-ins, processes and names that were asked for. A few addresses, hosts and
// people write most of them. Every sixth is one that correlations count.
func city(reg *event.Registry) []event.Event {
	r := rand.New(rand.NewPCG(7, 7))
	field := map[string]event.FieldID{}
	set := func(ev *event.Event, name, value string) {
		id, ok := field[name]
		if !ok {
			id, _ = reg.Intern(name)
			field[name] = id
		}
		ev.Add(id, value)
	}
	number := func(ev *event.Event, name string, n int) { set(ev, name, fmt.Sprint(n)) }
	skewed := func(n int) int { return min(r.IntN(n), r.IntN(n), r.IntN(n)) }
	ring := make([]event.Event, ringSize)
	for i := range ring {
		ev := &ring[i]
		ev.ID.Epoch, ev.Tenant = "bench", fmt.Sprintf("tenant-%d", skewed(4))
		set(ev, "event.module", "city")
		set(ev, "source.ip", fmt.Sprintf("10.%d.%d.%d", skewed(4), skewed(200), skewed(50)))
		set(ev, "host.name", fmt.Sprintf("host-%d", skewed(2000)))
		set(ev, "user.name", fmt.Sprintf("user-%d", skewed(5000)))
		set(ev, "message", "what the system wrote about it, in a line as long as such lines are, with an address and a few names in it")
		switch kind := r.IntN(100); {
		case kind < 45:
			set(ev, "event.category", "network")
			set(ev, "event.type", pick(r, 10, "denied", "allowed"))
			set(ev, "destination.ip", fmt.Sprintf("172.16.%d.%d", skewed(20), skewed(250)))
			number(ev, "destination.port", 1+skewed(60_000))
			number(ev, "source.bytes", r.IntN(1_040_000))
		case kind < 65:
			set(ev, "event.category", "web")
			set(ev, "http.response.status_code", pick(r, 5, "404", pick(r, 2, "502", "200")))
			set(ev, "url.domain", fmt.Sprintf("app-%d.example.gov.cn", skewed(100)))
			set(ev, "url.path", fmt.Sprintf("/page/%d", skewed(10_000)))
			number(ev, "http.response.body.bytes", r.IntN(100_000))
		case kind < 75:
			set(ev, "event.category", "authentication")
			set(ev, "event.outcome", pick(r, 10, "failure", "success"))
			set(ev, "user.roles", pick(r, 20, "administrator", "clerk"))
			number(ev, "event.duration", r.IntN(1_000_000))
		case kind < 90:
			set(ev, "event.category", "process")
			set(ev, "process.name", pick(r, 30, "bash", "java"))
			set(ev, "process.command_line", fmt.Sprintf("/opt/app/run --task %d", skewed(10_000)))
			number(ev, "process.pid", r.IntN(65_536))
		default:
			set(ev, "event.category", "dns")
			set(ev, "dns.question.type", pick(r, 5, "TXT", "A"))
			set(ev, "dns.question.name", fmt.Sprintf("n%d.example.com", skewed(10_000)))
			set(ev, "dns.question.registered_domain", "example.com")
			number(ev, "dns.question.length", r.IntN(60))
		}
	}
	return ring
}

// pick gives the first in so many of a hundred cases.
func pick(r *rand.Rand, percent int, first, else_ string) string {
	if r.IntN(100) < percent {
		return first
	}
	return else_
}
