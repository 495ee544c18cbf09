package watch

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestJudge follows one story, a step at a time.
func TestJudge(t *testing.T) {
	t.Parallel()
	var j Judge
	l := DefaultLimits
	at := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	f := func(after time.Duration, o Observation, want ...string) []Alarm {
		t.Helper()
		at = at.Add(after)
		o.At = at
		if o.Capacity == 0 {
			o.Capacity = 1000
		}
		list := j.Alarms(o, l)
		got := []string{}
		for _, a := range list {
			if a.Key == "" {
				a.Key = a.Kind
			}
			if a.Detail.ZH == "" || a.Detail.EN == "" || kindOf(a.Kind).Advice.ZH == "" {
				t.Errorf("the alarm %+v says nothing", a)
			}
			got = append(got, a.Key)
		}
		if !slices.Equal(got, append([]string{}, want...)) {
			t.Errorf("at %s: %q, want %q", at.Format(time.TimeOnly), got, want)
		}
		return list
	}
	f(0, Observation{Restarts: 7, Drops: map[string]uint64{"quota": 0}}) // those before are not news
	f(5*time.Second, Observation{Restarts: 7, Lag: time.Hour})           // a burst is no fault
	f(30*time.Second, Observation{Restarts: 7, Lag: time.Hour}, "bus-lag")
	f(5*time.Second, Observation{Restarts: 7})
	f(5*time.Second, Observation{Restarts: 9, Held: 499})
	list := f(5*time.Second, Observation{Restarts: 10, Held: 950}, "engine-restarts", "bus-backlog")
	if list[1].Severity != "critical" || list[1].Fields["percent"] != "95" {
		t.Errorf("a bus at 95%% is %+v", list[1])
	}
	f(61*time.Minute, Observation{Restarts: 10})

	// Drops are news for a while, each reason apart; a total that began anew
	// is counted from nothing.
	list = f(time.Second, Observation{Restarts: 10, Drops: map[string]uint64{"quota": 5, UDP: 2}}, "events-dropped/quota", "udp-drops/udp_kernel")
	if list[0].Fields["dropped"] != "5" {
		t.Errorf("%+v", list[0])
	}
	list = f(10*time.Minute, Observation{Restarts: 10, Drops: map[string]uint64{"quota": 3, UDP: 2}}, "events-dropped/quota", "udp-drops/udp_kernel")
	if list[0].Fields["dropped"] != "8" {
		t.Errorf("%+v", list[0])
	}
	f(6*time.Minute, Observation{Restarts: 10, Drops: map[string]uint64{"quota": 3, UDP: 2}}, "events-dropped/quota")
	f(10*time.Minute, Observation{Restarts: 10, Drops: map[string]uint64{"quota": 3, UDP: 2}})

	failing := Observation{Restarts: 10, Failing: map[string]string{"syslog": "the port is taken"}}
	f(time.Second, failing)
	f(31*time.Second, failing, "source-error/syslog")
	f(time.Second, Observation{Restarts: 10})
	f(time.Second, failing)

	f(time.Second, Observation{Restarts: 10, Jump: -4 * time.Second})
	f(time.Second, Observation{Restarts: 10, Jump: -time.Minute}, "clock-jump")
	f(time.Second, Observation{Restarts: 10}, "clock-jump")
	f(recent, Observation{Restarts: 10})

	f(time.Second, Observation{Restarts: 10, Silent: true})
	f(119*time.Second, Observation{Restarts: 10, Silent: true})
	f(time.Second, Observation{Restarts: 10, Silent: true}, "engine-down/silent")
	f(time.Second, Observation{Restarts: 10})
	l = Limits{}
	f(time.Hour, Observation{Restarts: 99, Lag: time.Hour, Held: 1000, Jump: time.Hour})
	f(time.Hour, Observation{Restarts: 99, Lag: time.Hour, Held: 1000, Jump: time.Hour})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if err := DefaultLimits.Check(); err != nil {
		t.Error(err)
	}
	if err := (Limits{BacklogPercent: 101}).Check(); err == nil || !strings.Contains(err.Error(), "backlog_percent: 101") {
		t.Error(err)
	}
	if err := (Limits{LagSeconds: -1}).Check(); err == nil {
		t.Error("a negative limit is taken")
	}
}
