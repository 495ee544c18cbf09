package relation

import (
	"slices"
	"time"
)

// What can be unusual about an edge.
const (
	Alerted      = "alerted"       // an alert lies between the two
	Refused      = "refused"       // it was denied, or failed, each time
	FailedSignIn = "failed-signin" // sign-ins failed, some or all
	FirstTime    = "first-time"    // first seen within the last day that was looked at, and not in the day before that or longer
	Rare         = "rare"          // at most three times, on one day
	FromOutside  = "from-outside"  // an address that is not ours came to one of ours
	ToOutside    = "to-outside"    // one of ours went to an address that is not
	RemoteAccess = "remote-access" // a port for administration, from outside
	Database     = "database"      // a database's port, from outside
	Sweep        = "sweep"         // its client met twenty or more at this port
	Bulk         = "bulk"          // a gigabyte or more went between one of ours and the outside
	OffHours     = "off-hours"     // all of it within one night, 22 to 6 o'clock
)

// AbnormalKinds are all of them.
var AbnormalKinds = []string{Alerted, Refused, FailedSignIn, FirstTime, Rare, FromOutside, ToOutside, RemoteAccess, Database, Sweep, Bulk, OffHours}

const (
	rareCount  = 3
	sweepPeers = 20
	bulkBytes  = 1 << 30
	aDay       = 24 * time.Hour
)

var (
	remotePorts   = []int{22, 23, 135, 139, 445, 3389, 5900, 5985, 5986}
	databasePorts = []int{1433, 1521, 2379, 3306, 5236, 5432, 6379, 9200, 11211, 27017, 54321}
)

// mark says what is unusual about the edges of an answer that looked until
// end. Nights are those of local.
func mark(edges []Edge, end time.Time, local *time.Location) {
	type pair struct{ a, b string }
	between := func(e *Edge) pair {
		if e.From > e.To {
			return pair{e.To, e.From}
		}
		return pair{e.From, e.To}
	}
	phases := map[pair][]string{}
	alerted := map[pair]bool{}
	type swept struct {
		client string
		port   int
	}
	met := map[swept]map[string]bool{}
	for i := range edges {
		e := &edges[i]
		switch {
		case e.Kind == Alert:
			alerted[between(e)] = true
			phases[between(e)] = append(phases[between(e)], e.Phases...)
		case e.Port > 0 && (e.Kind == Flow || e.Kind == Access):
			k := swept{e.From, e.Port}
			if met[k] == nil {
				met[k] = map[string]bool{}
			}
			met[k][e.To] = true
		}
	}
	for i := range edges {
		e := &edges[i]
		is := map[string]bool{}
		if alerted[between(e)] && e.Kind != Relation && e.Kind != Same {
			is[Alerted] = true
			for _, p := range phases[between(e)] {
				if !slices.Contains(e.Phases, p) {
					e.Phases = append(e.Phases, p)
				}
			}
		}
		if e.Kind == SignIn {
			is[FailedSignIn] = e.Outcome == "failure" || e.Outcome == "mixed"
		} else {
			is[Refused] = e.Outcome == "failure"
		}
		if !e.FirstSeen.IsZero() && e.Kind != Alert {
			is[FirstTime] = e.FirstSeen.After(end.Add(-aDay)) && (e.Since.IsZero() || e.FirstSeen.Sub(e.Since) >= aDay)
			is[Rare] = e.Count <= rareCount && (e.Days <= 1 && e.Days > 0 || e.LastSeen.Sub(e.FirstSeen) < aDay)
			is[OffHours] = oneNight(e.FirstSeen.In(local), e.LastSeen.In(local))
		}
		if e.From != e.To && (e.Kind == Flow || e.Kind == Access || e.Kind == Request) {
			is[FromOutside] = !e.FromInside && e.ToInside
			is[ToOutside] = e.FromInside && !e.ToInside
			is[RemoteAccess] = is[FromOutside] && slices.Contains(remotePorts, e.Port)
			is[Database] = is[FromOutside] && slices.Contains(databasePorts, e.Port)
			is[Bulk] = e.FromInside != e.ToInside && e.Bytes >= bulkBytes
			is[Sweep] = len(met[swept{e.From, e.Port}]) >= sweepPeers
		}
		e.Abnormal = []string{}
		for _, a := range AbnormalKinds {
			if is[a] {
				e.Abnormal = append(e.Abnormal, a)
			}
		}
		if e.Phases == nil {
			e.Phases = []string{}
		}
		if e.Alerts == nil {
			e.Alerts = []AlertRef{}
		}
	}
}

// oneNight tells whether both times lie within the same night.
func oneNight(first, last time.Time) bool {
	at := func(t time.Time) bool { return t.Hour() >= 22 || t.Hour() < 6 }
	return at(first) && at(last) && last.Sub(first) < 8*time.Hour
}
