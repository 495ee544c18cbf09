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

// WithGroup is WithLogs for a filter that the caller chose or even wrote, such as
// that of a log group. Where parts of rows are hidden from him it must not find
// out what is hidden, so it is looked at through the veil.
func (r Reach) WithGroup(filter string) Reach {
	if r.v == nil {
		return r
	}
	r.own = bothLogs(r.own, filter)
	return r
}

// LogsFilter is what WithLogs and WithGroup set, "" where nothing did.
func (r Reach) LogsFilter() string { return bothLogs(r.logs, r.own) }

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
