package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"icewatch/test/bench/suite"
)

// theirs are Loki's figures.
type theirs struct {
	intake
	took []float64
}

// lokiConfig is a single binary on local files. What differs from Loki's
// defaults: limits that would refuse the load or the questions, and the query
// result cache, which would answer the second time from memory.
const lokiConfig = `auth_enabled: false
server: {http_listen_address: 127.0.0.1, http_listen_port: %[2]s, grpc_listen_address: 127.0.0.1, grpc_listen_port: 0, log_level: error, http_server_read_timeout: 30m, http_server_write_timeout: 30m}
common:
  instance_addr: 127.0.0.1
  path_prefix: %[1]s
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %[1]s/chunks, rules_directory: %[1]s/rules}}
schema_config:
  configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
limits_config:
  ingestion_rate_mb: 10000
  ingestion_burst_size_mb: 10000
  per_stream_rate_limit: 10GB
  per_stream_rate_limit_burst: 10GB
  reject_old_samples: false
  max_query_series: 1000000
  max_entries_limit_per_query: 100000
  query_timeout: 30m
  volume_enabled: false
  discover_log_levels: false
  allow_structured_metadata: true
query_range: {cache_results: false}
pattern_ingester: {enabled: false}
analytics: {reporting_enabled: false}
`

func (b *bench) lokiRun(ctx context.Context) (*theirs, error) {
	dir := filepath.Join(b.dir, "loki")
	address, err := suite.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(address, ":")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, lokiConfig, dir, port), 0o600); err != nil {
		return nil, err
	}
	fmt.Printf("Loki's settings:\n%s\n", fmt.Sprintf(lokiConfig, "DIR", "PORT"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(b.loki, "-config.file="+config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer suite.Stop(cmd)
	base := "http://" + address
	for end := time.Now().Add(2 * time.Minute); ; {
		if _, err := lokiGet(ctx, base+"/ready"); err == nil {
			break
		} else if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("not ready within two minutes: %w: %.2000s", err, text)
		}
		time.Sleep(500 * time.Millisecond)
	}
	used, began := suite.CPU(cmd.Process.Pid), time.Now()
	_, loading, err := b.again(ctx, "load", b.corpus.from, b.corpus.step, "loki", base+"/loki/api/v1/push", "", 0, b.compare)
	if err != nil {
		return nil, err
	}
	t := &theirs{intake: intake{rate: float64(b.compare) / time.Since(began).Seconds(), load: loading}}
	resp, err := http.Post(base+"/flush", "", nil)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	t.disk = settled(ctx, filepath.Join(dir, "chunks")) / float64(b.compare)
	t.cpu = suite.CPU(cmd.Process.Pid) - used
	fmt.Println("Loki:", t.intake)
	for _, q := range queries {
		took, err := median(func() error { return b.askLoki(ctx, base, q) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		fmt.Printf("Loki: %s: %.2f s\n", q.name, took)
		t.took = append(t.took, took)
	}
	return t, nil
}

func (b *bench) askLoki(ctx context.Context, base string, q query) error {
	start, end := b.corpus.from, b.corpus.from+int64(b.compare)*b.corpus.step+int64(time.Second)
	v := url.Values{}
	text := strings.ReplaceAll(q.logql, "{needle}", needle(rare/2))
	path := "/loki/api/v1/query"
	if q.log {
		path += "_range"
		v.Set("start", strconv.FormatInt(start, 10))
		v.Set("end", strconv.FormatInt(end, 10))
		v.Set("limit", "100")
	} else {
		v.Set("time", strconv.FormatInt(end, 10))
		text = strings.ReplaceAll(text, "{range}", strconv.FormatInt((end-start)/int64(time.Millisecond), 10)+"ms")
	}
	v.Set("query", text)
	body, err := lokiGet(ctx, base+path+"?"+v.Encode())
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Data.Result) == 0 {
		return fmt.Errorf("%s: no result: %.300s", text, body)
	}
	return nil
}

func lokiGet(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.500s", resp.Status, body)
	}
	return body, err
}
