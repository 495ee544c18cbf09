package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"icewatch/test/peers"
)

// TestAlertPeersKills kills the suite over and over while a real Kafka has alerts
// for it and a real Loki's ruler and a real vmalert send it some: each is raised once and ends.
// ICEWATCH_PEER_KILLS says how often (make test-peers); without it nothing runs.
func TestAlertPeersKills(t *testing.T) {
	v := os.Getenv("ICEWATCH_PEER_KILLS")
	if v == "" {
		t.Skip("ICEWATCH_PEER_KILLS is not set: make test-peers sets it")
	}
	rounds, err := strconv.Atoi(v)
	if err != nil || rounds < 1 {
		t.Fatalf("ICEWATCH_PEER_KILLS=%q is no number of rounds", v)
	}
	t.Parallel()
	t.Run("kafka", func(t *testing.T) { kafkaKills(t, rounds) })
	t.Run("ruler", func(t *testing.T) { rulerKills(t, rounds) })
	t.Run("vmalert", vmalertKilled)
}

// kafkaKills writes alerts into a topic while the suite that reads it is killed,
// then their ends.
func kafkaKills(t *testing.T, rounds int) {
	rnd := random(t)
	kafka := peers.StartKafka(t)
	s := newSuite(t, loopback)
	const topic, each = "monitoring", 30
	var source alertSource
	s.call(s.admin.Options().Token, http.MethodPost, "/api/v1/alert-sources", fmt.Sprintf(`{"name":"kafka","kind":"kafka","enabled":true,"tenant":"e-seal","template":"generic-json","kafka":{"brokers":[%q],"topics":[%q],"from":"earliest"}}`, kafka.Address, topic), 201, &source)
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Address), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	write := func(status string, from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			body, _ := json.Marshal(map[string]string{"id": fmt.Sprint("a-", n), "status": status, "name": fmt.Sprint("fault ", n), "severity": "low", "host": fmt.Sprint("ups-", n)})
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			err := producer.ProduceSync(ctx, &kgo.Record{Value: body}).FirstErr()
			cancel()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, status := range []string{"firing", "resolved"} {
		for round := range rounds {
			write(status, round*each, round*each+each/2)
			time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // wherever it stands then
			s.kill()
			write(status, round*each+each/2, (round+1)*each)
			s.start()
		}
		s.signIn()
		want := map[string]string{"firing": "open", "resolved": "closed"}[status]
		eventually(t, 120*time.Second, "each alert is there once, and "+want, func() error {
			seen := map[string]int{}
			for cursor := ""; ; {
				var page struct {
					Items []struct {
						Status string
						Title  struct{ ZH string }
						Fields map[string]string
					}
					Next string
				}
				get(t, s, "/api/v1/alerts?status=open,acknowledged,closed&limit=200&cursor="+cursor, &page)
				for _, a := range page.Items {
					if a.Fields["alert.source"] != source.Source.ID {
						continue
					}
					if seen[a.Title.ZH]++; a.Status != want {
						return fmt.Errorf("%s is %s", a.Title.ZH, a.Status)
					}
				}
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			if len(seen) != rounds*each {
				return fmt.Errorf("%d of %d", len(seen), rounds*each)
			}
			for title, n := range seen {
				if n != 1 {
					t.Fatalf("%s was raised %d times", title, n)
				}
			}
			return nil
		})
	}
}

// rulerKills has Loki's ruler send an alert that fires and ends while the suite
// is killed, over and over.
func rulerKills(t *testing.T, rounds int) {
	rnd := random(t)
	s := newSuite(t, "")
	secret := s.token("", "read", "ingest").Options().Token
	loki := peers.StartLokiRuler(t, `groups:
- name: doors
  interval: 1s
  rules:
  - alert: DoorForced
    expr: sum by (host, round) (count_over_time({app="door"} |= "forced" [1m])) > 0
    labels: {severity: low}
    annotations: {summary: "{{ $labels.host }} was forced"}
`, s.url+"/alertmanager", secret)
	alerts := func(status string) (rounds []string) {
		t.Helper()
		var page struct {
			Items []struct {
				Labels     map[string]string
				Resolution string
			}
		}
		s.call(secret, http.MethodGet, "/api/v1/alerts?limit=200&status="+status, "", 200, &page)
		for _, a := range page.Items {
			if a.Labels["alertname"] == "DoorForced" {
				rounds = append(rounds, a.Labels["round"])
			}
		}
		return rounds
	}
	for round := range rounds {
		line := fmt.Sprintf(`{"streams":[{"stream":{"app":"door","host":"hall","round":"%d"},"values":[["%d","door was forced"]]}]}`, round, time.Now().UnixNano())
		resp, err := http.Post(loki+"/loki/api/v1/push", "application/json", strings.NewReader(line))
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("push to Loki: %v, %v", resp, err)
		}
		resp.Body.Close()
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond) // wherever it stands then
		s.kill()
		s.start()
		// It fires for a minute, of which the suite is away for a while.
		eventually(t, 120*time.Second, "the alert is raised", func() error {
			if n := len(alerts("open,closed")); n != round+1 {
				return fmt.Errorf("%d alerts in round %d", n, round)
			}
			return nil
		})
		s.kill()
		s.start()
	}
	eventually(t, 240*time.Second, "all alerts are over", func() error {
		if open, over := alerts("open"), alerts("closed"); len(open) > 0 || len(over) != rounds {
			return fmt.Errorf("open %v, over %v", open, over)
		}
		return nil
	})
}

// vmalertKilled has a vmalert send an alert that fires and ends, with the suite
// killed in between.
func vmalertKilled(t *testing.T) {
	program := os.Getenv("ICEWATCH_VMALERT")
	if program == "" {
		missing(t, "ICEWATCH_VMALERT does not name a vmalert: test/peers/vmalert.sh builds one")
	}
	s := newSuite(t, "")
	secret := s.token("", "read", "ingest").Options().Token
	var free atomic.Bool
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		result := "[]"
		if !free.Load() {
			result = fmt.Sprintf(`[{"metric":{"instance":"vm-01:9100"},"value":[%d,"3"]}]`, time.Now().Unix())
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":%s}}`, result)
	}))
	t.Cleanup(source.Close)
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte("groups:\n- name: disks\n  interval: 1s\n  rules:\n  - alert: VMDisk\n    expr: disk_free < 10\n    labels: {severity: low}\n    annotations: {summary: \"{{ $value }} % left\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-rule="+rules, "-datasource.url="+source.URL, "-notifier.url="+s.url+"/alertmanager", "-notifier.bearerToken="+secret,
		"-evaluationInterval=1s", "-httpListenAddr=127.0.0.1:"+peers.FreePort(t))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("vmalert said:\n%s", log.String())
		}
	})
	until := func(what, status, resolution string) {
		t.Helper()
		eventually(t, 120*time.Second, what, func() error {
			var page struct {
				Items []struct {
					Labels             map[string]string
					Status, Resolution string
				}
			}
			s.call(secret, http.MethodGet, "/api/v1/alerts?status=open,closed&limit=200", "", 200, &page)
			if len(page.Items) != 1 || page.Items[0].Labels["alertname"] != "VMDisk" || page.Items[0].Labels["alertgroup"] != "disks" || page.Items[0].Status != status || page.Items[0].Resolution != resolution {
				return fmt.Errorf("%+v", page.Items)
			}
			return nil
		})
	}
	until("the alert is raised", "open", "")
	s.kill()
	free.Store(true)
	s.start()
	until("it is over", "closed", "recovered")
}
