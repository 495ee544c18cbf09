package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check tells what is wrong with a run, all of it, by field. Whether its targets
// lie within its scope is for collectors/scanner/scope.
func (r *Run) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.ID == "" || len(r.ID) > 64 || strings.ContainsAny(r.ID, "/\\. \x00") {
		bad("id: %q is none: want a ULID", r.ID)
	}
	switch r.Kind {
	case KindDiscover, KindCheck, KindDeep:
	case KindRetest:
		if len(r.Retest) == 0 {
			bad("retest: there is nothing to look at again")
		}
	default:
		bad("kind: there is no %q; there are %s, %s, %s and %s", r.Kind, KindDiscover, KindCheck, KindRetest, KindDeep)
	}
	if len(r.Scope.Ranges) == 0 {
		bad("scope.ranges: no range is approved, so that nothing may be touched")
	}
	for field, ranges := range map[string][]string{"scope.ranges": r.Scope.Ranges, "scope.exclusions": r.Scope.Exclusions} {
		if len(ranges) > MaxRanges {
			bad("%s: %d ranges, %d at most", field, len(ranges), MaxRanges)
			continue
		}
		for i, s := range ranges {
			if _, err := ParseRange(s); err != nil {
				bad("%s[%d]: %w", field, i, err)
			}
		}
	}
	for field, n := range map[string][2]int{"targets": {len(r.Targets), MaxTargets}, "checks": {len(r.Checks), MaxChecks}, "retest": {len(r.Retest), MaxRetests},
		"rate.packets": {r.Rate.Packets, MostPackets}, "rate.per_host": {r.Rate.PerHost, MostPerHost}, "rate.hosts": {r.Rate.Hosts, MostHosts},
		"lockout.attempts": {r.Lockout.Attempts, MostAttempts}, "lockout.window": {r.Lockout.Window, 7 * 24 * 3600}, "credentials": {len(r.Credentials), 1000}, "windows": {len(r.Windows), 100}} {
		if n[0] < 0 || n[0] > n[1] {
			bad("%s: %d, want 0 to %d", field, n[0], n[1])
		}
	}
	for i, t := range r.Retest {
		if t.Check == "" || t.Target == "" || t.Finding == "" || t.Port < 0 || t.Port > 65535 {
			bad("retest[%d]: finding, check, target and a port are needed", i)
		}
	}
	for i, p := range r.Probes {
		if !slices.Contains(Probes, p) {
			bad("probes[%d]: there is no %q; there are %s", i, p, strings.Join(Probes, ", "))
		}
	}
	for field, ports := range map[string][]string{"ports.tcp": r.Ports.TCP, "ports.udp": r.Ports.UDP} {
		if _, err := ParsePorts(ports); err != nil {
			bad("%s: %w", field, err)
		}
	}
	for i, w := range r.Windows {
		if _, err := w.Open(time.Time{}); err != nil {
			bad("windows[%d]: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

// ParseRange reads a CIDR range or an address, which is a range of one.
func ParseRange(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q: an address with a zone is no range", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a range like 10.1.0.0/16", s)
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q: IPv4 in IPv6 with less than 96 bits is not one range of IPv4", s)
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// ParsePorts reads numbers and ranges of ports, each port once, in order.
func ParsePorts(list []string) ([]int, error) {
	var seen [65536]bool
	n := 0
	for _, item := range list {
		for _, s := range strings.Split(item, ",") {
			s = strings.TrimSpace(s)
			if s == "" {
				continue
			}
			first, last, ranged := strings.Cut(s, "-")
			from, err := strconv.Atoi(first)
			to := from
			if err == nil && ranged {
				to, err = strconv.Atoi(last)
			}
			if err != nil || from < 1 || to > 65535 || from > to {
				return nil, fmt.Errorf("%q is no port and no range of ports like 8000-8100", s)
			}
			for p := from; p <= to; p++ {
				if !seen[p] {
					seen[p] = true
					n++
				}
			}
		}
	}
	out := make([]int, 0, n)
	for p, yes := range seen {
		if yes {
			out = append(out, p)
		}
	}
	return out, nil
}

// Open tells whether a moment is within the window.
func (w Window) Open(at time.Time) (bool, error) {
	zone := time.UTC
	if w.Zone != "" {
		z, err := time.LoadLocation(w.Zone)
		if err != nil {
			return false, fmt.Errorf("zone: there is no time zone %q", w.Zone)
		}
		zone = z
	}
	from, err := minutes(w.From)
	if err != nil {
		return false, fmt.Errorf("from: %w", err)
	}
	to, err := minutes(w.To)
	if err != nil {
		return false, fmt.Errorf("to: %w", err)
	}
	if from == 24*60 {
		return false, errors.New("from: 24:00 begins no window; want 00:00")
	}
	for _, d := range w.Days {
		if d < 1 || d > 7 {
			return false, fmt.Errorf("days: %d is none; want 1 (Monday) to 7 (Sunday)", d)
		}
	}
	local := at.In(zone)
	now := local.Hour()*60 + local.Minute()
	if to > from {
		return now >= from && now < to && w.on(local.Weekday()), nil
	}
	// Over midnight: the evening belongs to its day, the morning to the day before.
	return now >= from && w.on(local.Weekday()) || now < to && w.on((local.Weekday()+6)%7), nil
}

func (w Window) on(d time.Weekday) bool {
	n := int(d)
	if n == 0 {
		n = 7
	}
	return len(w.Days) == 0 || slices.Contains(w.Days, n)
}

func minutes(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hours, err := strconv.Atoi(h)
	mins, err2 := strconv.Atoi(m)
	if !ok || len(m) != 2 || err != nil || err2 != nil || hours < 0 || mins < 0 || mins > 59 || hours > 24 || hours == 24 && mins > 0 {
		return 0, fmt.Errorf("%q is no time of the day like 22:00", s)
	}
	return hours*60 + mins, nil
}

// Within tells whether a run may scan at a moment: always where it has no windows.
func (r *Run) Within(at time.Time) bool {
	if len(r.Windows) == 0 {
		return true
	}
	for _, w := range r.Windows {
		if open, err := w.Open(at); err == nil && open {
			return true
		}
	}
	return false
}

// MaxMetrics bounds the numbers of one attribute "metrics".
const MaxMetrics = 64

var metricName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// IsMetric tells whether a name may be a metric's.
func IsMetric(name string) bool { return metricName.MatchString(name) }
