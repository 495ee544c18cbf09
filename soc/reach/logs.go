package reach

// WithLogs is the reach of which, of the rows in the lake, only those count
// that the filter lets through as well: LogsQL without pipes, checked by the
// caller. It travels with the reach through And and Narrow and stands in
// LogsQL, so that no path to the lake can forget it. What is not in the lake
// (alerts, configuration items) is not touched by it: Match, SQL and
// Everything go by tenants and facts alone.
func (r Reach) WithLogs(filter string) Reach {
	if r.v == nil {
		return r
	}
	r.logs = bothLogs(r.logs, filter)
	return r
}

// LogsFilter is what WithLogs set, "" where nothing did.
func (r Reach) LogsFilter() string { return r.logs }

// bothLogs is the LogsQL filter that asks for both; "" asks for nothing.
func bothLogs(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "":
		return a
	}
	return "(" + a + ") and (" + b + ")"
}
