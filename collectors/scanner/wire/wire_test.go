package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func run() Run {
	return Run{ID: "01J0000000000000000000000A", Kind: KindCheck, Tenant: "city", Scope: Scope{Ranges: []string{"10.0.0.0/8"}}}
}

func TestRunCheckNamesEveryField(t *testing.T) {
	t.Parallel()
	good := run()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Run){
		"id:":               func(r *Run) { r.ID = "../x" },
		"kind:":             func(r *Run) { r.Kind = "attack" },
		"scope.ranges:":     func(r *Run) { r.Scope.Ranges = nil },
		"scope.ranges[0]":   func(r *Run) { r.Scope.Ranges = []string{"everything"} },
		"scope.exclusions":  func(r *Run) { r.Scope.Exclusions = []string{"10.0.0.0/99"} },
		"rate.packets":      func(r *Run) { r.Rate.Packets = -1 },
		"rate.per_host":     func(r *Run) { r.Rate.PerHost = MostPerHost + 1 },
		"probes[0]":         func(r *Run) { r.Probes = []string{"exploit"} },
		"ports.tcp":         func(r *Run) { r.Ports.TCP = []string{"80-70"} },
		"windows[0]: zone":  func(r *Run) { r.Windows = []Window{{From: "01:00", To: "02:00", Zone: "Mars/Olympus"}} },
		"windows[0]: from":  func(r *Run) { r.Windows = []Window{{From: "1", To: "02:00"}} },
		"windows[0]: days":  func(r *Run) { r.Windows = []Window{{From: "01:00", To: "02:00", Days: []int{0}}} },
		"lockout.attempts:": func(r *Run) { r.Lockout.Attempts = 1000 },
		"retest:":           func(r *Run) { r.Kind = KindRetest },
	} {
		r := run()
		spoil(&r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that names %q, got %v", want, err)
		}
	}
}

func TestWindowOverMidnightBelongsToItsEvening(t *testing.T) {
	t.Parallel()
	// Friday 22:00 to Saturday 06:00 in Shanghai.
	r := Run{Windows: []Window{{Days: []int{5}, From: "22:00", To: "06:00", Zone: "Asia/Shanghai"}}}
	for at, want := range map[string]bool{
		"2026-11-27T21:59:00+08:00": false, "2026-11-27T22:00:00+08:00": true, "2026-11-28T05:59:00+08:00": true,
		"2026-11-28T06:00:00+08:00": false, "2026-11-27T03:00:00+08:00": false, "2026-11-28T23:00:00+08:00": false,
	} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Within(moment); got != want {
			t.Errorf("%s: %v, want %v", at, got, want)
		}
	}
}

func TestPortsOnceAndInOrder(t *testing.T) {
	t.Parallel()
	got, err := ParsePorts([]string{"443", "80-82,81", "22"})
	if err != nil || !reflect.DeepEqual(got, []int{22, 80, 81, 82, 443}) {
		t.Fatal(got, err)
	}
}

func TestResultsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	in := []Result{
		{Run: "R", Seq: 1, Kind: KindHost, At: 5, Host: &Host{Address: "10.0.0.1", Found: []string{ProbeTCP}}},
		{Run: "R", Seq: 2, Kind: KindService, Service: &Service{Address: "10.0.0.1", Port: 443, Protocol: "tcp", TLS: &TLS{Subject: "CN=x", SANs: []string{"x"}}}},
		{Run: "R", Seq: 3, Kind: KindWeakness, Weakness: &Weakness{Check: "redis-open", Engine: "icewatch", Title: "t", TitleZH: "标题", Severity: SeverityHigh, Address: "10.0.0.1", Port: 6379}},
		{Run: "R", Seq: 4, Kind: KindEnd, End: &End{State: EndDone, Progress: Progress{HostsDone: 1}}},
	}
	body, err := Pack(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Unpack(body)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%+v, %v", out, err)
	}
	in[1].Service.Port = 70000
	body, _ = Pack(in)
	if _, err = Unpack(body); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("the line is not named: %v", err)
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	t.Parallel()
	c := Credential{Kind: "ssh", Name: "ops", User: "root", Secret: "hunter2", Key: "PEM"}
	r := Run{Credentials: []Credential{c}}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", c), fmt.Sprintf("%v", []Credential{c})} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "PEM") {
			t.Errorf("a secret is printed: %s", s)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	good, _ := Pack([]Result{{Run: "R", Seq: 1, Kind: KindNote, Note: &Note{Level: LevelInfo, Text: "x"}}})
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		results, err := Unpack(body)
		if err != nil {
			return
		}
		for i := range results {
			if err := results[i].Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzRanges(f *testing.F) {
	f.Add("10.0.0.0/8", "80-90")
	f.Add("::ffff:10.0.0.0/104", "1")
	f.Fuzz(func(t *testing.T, s, ports string) {
		if p, err := ParseRange(s); err == nil && (!p.IsValid() || p.Addr().Is4In6() || p != p.Masked()) {
			t.Fatalf("%q became %v", s, p)
		}
		if list, err := ParsePorts([]string{ports}); err == nil {
			for i, n := range list {
				if n < 1 || n > 65535 || i > 0 && list[i-1] >= n {
					t.Fatalf("%q became %v", ports, list)
				}
			}
		}
	})
}
