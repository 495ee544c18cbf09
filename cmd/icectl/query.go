package main

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type queryCmd struct {
	Query string `arg:"" optional:"" default:"*" help:"LogsQL, e.g. 'event.outcome:failure source.ip:203.0.113.7'. Default: everything."`
	Since string `help:"How far back from now (or from --end), e.g. 30s, 15m, 24h, 7d." placeholder:"DURATION"`
	Start string `help:"From this time on, e.g. 2026-11-23T08:00:00Z, '2026-11-23 16:00:00' or 2026-11-23 (local)." placeholder:"TIME"`
	End   string `help:"Up to before this time." placeholder:"TIME"`
	Limit int    `help:"At most this many events; 0 leaves it to the server." default:"1000"`
}

// Help is shown below the flags.
func (queryCmd) Help() string {
	return `Without --since and --start the last 15 minutes are searched. Each line is one event as a flat JSON object:
"@timestamp", "event.id", "event.original", "message", "icewatch.tenant" and its fields by their ECS names.
Where --limit was reached a note says so on standard error.

Examples:
  icectl query 'event.dataset:sshd.auth event.outcome:failure' --since 1h
  icectl query '"Out of memory"' --tenant e-seal --since 7d --limit 20 | jq -r '."event.original"'
  icectl query '* | stats by (host.name) count() n' --since 24h`
}

// Run streams the events to standard output as they come.
func (q *queryCmd) Run(a *app) error {
	params := url.Values{"query": {q.Query}}
	if q.Limit < 0 {
		return usageError(fmt.Sprintf("--limit %d: want a number of events, or 0", q.Limit))
	}
	if q.Limit > 0 {
		params.Set("limit", strconv.Itoa(q.Limit))
	}
	if err := timeRange(params, q.Since, q.Start, q.End, a.now()); err != nil {
		return err
	}
	if a.cli.Tenant != "" {
		params.Set("tenant", a.cli.Tenant)
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	n := 0
	var line bytes.Buffer
	err = c.Stream(a.ctx, "/api/v1/search", params, func(object []byte) error {
		n++
		line.Reset()
		line.Write(object)
		line.WriteByte('\n')
		_, err := a.stdout.Write(line.Bytes())
		return err
	})
	if err != nil {
		return err
	}
	if q.Limit > 0 && n >= q.Limit {
		fmt.Fprintf(a.stderr, "icectl: stopped at --limit %d, there may be more\n", q.Limit)
	}
	return nil
}

// timeRange turns the flags into the parameters start and end, or since.
func timeRange(params url.Values, since, start, end string, now time.Time) error {
	if since != "" && start != "" {
		return usageError("--since and --start exclude each other")
	}
	var endAt time.Time
	if end != "" {
		t, err := parseTime(end)
		if err != nil {
			return usageError("--end " + err.Error())
		}
		endAt = t
		params.Set("end", t.UTC().Format(time.RFC3339Nano))
	}
	if start != "" {
		t, err := parseTime(start)
		if err != nil {
			return usageError("--start " + err.Error())
		}
		if !endAt.IsZero() && !t.Before(endAt) {
			return usageError(fmt.Sprintf("--start %s is not before --end %s", start, end))
		}
		params.Set("start", t.UTC().Format(time.RFC3339Nano))
		return nil
	}
	if since == "" {
		since = "15m"
	}
	d, err := parseDuration(since)
	if err != nil {
		return usageError("--since " + err.Error())
	}
	if !endAt.IsZero() {
		params.Set("start", endAt.Add(-d).UTC().Format(time.RFC3339Nano))
		return nil
	}
	// The server counts from its own clock, which is the one events came by.
	params.Set("since", d.String())
	return nil
}

// parseDuration is time.ParseDuration with days (d) and weeks (w) as well.
func parseDuration(s string) (time.Duration, error) {
	if n := len(s); n > 1 && (s[n-1] == 'd' || s[n-1] == 'w') {
		days, err := strconv.ParseFloat(s[:n-1], 64)
		if err == nil && days > 0 && days < 36500 {
			if s[n-1] == 'w' {
				days *= 7
			}
			return time.Duration(days * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a length of time such as 30s, 15m, 24h or 7d", s)
	}
	return d, nil
}

// parseTime reads RFC 3339, or a local date with or without a time of day.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, strings.TrimSpace(s), time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a time such as 2026-11-23T08:00:00Z, '2026-11-23 16:00:00' or 2026-11-23", s)
}
