package main

// query is one question in both languages. Loki's parser is told which fields
// it needs: reading the whole line would be slower.
type query struct {
	name   string
	logsql string
	logql  string // of type range over all events; {range} is their time
	log    bool   // asks for lines, not for numbers
}

const all = `{job="gov"}`

// the ten questions of the table. In both languages the answer is as large.
var queries = [...]query{
	{name: "count by host (200 values)", logsql: `* | stats by (host.name) count() n`, logql: `sum by (host) (count_over_time(` + all + ` [{range}]))`},
	{name: "needle", logsql: `url.path:"/export/{needle}"`, logql: all + ` |= "/export/{needle}"`, log: true},
	{name: "top ten addresses", logsql: `* | stats by (source.ip) count() n | sort by (n desc) limit 10`,
		logql: `topk(10, sum by (ip) (count_over_time(` + all + ` | json ip="[\"source.ip\"]" [{range}])))`},
	{name: "bytes to port 8443", logsql: `destination.port:=8443 | stats sum(network.bytes) n`,
		logql: `sum(sum_over_time(` + all + ` |= "\"destination.port\":8443" | json bytes="[\"network.bytes\"]" | unwrap bytes [{range}]))`},
	{name: "POST by status", logsql: `http.request.method:=POST | stats by (http.response.status_code) count() n`,
		logql: `sum by (status) (count_over_time(` + all + ` |= "\"http.request.method\":\"POST\"" | json status="[\"http.response.status_code\"]" [{range}]))`},
	{name: "failures by application", logsql: `event.outcome:=failure | stats by (service.name) count() n`,
		logql: `sum by (app) (count_over_time(` + all + ` |= "\"event.outcome\":\"failure\"" | json app="[\"service.name\"]" [{range}]))`},
	{name: "distinct users", logsql: `* | stats count_uniq(user.name) n`,
		logql: `count(sum by (user) (count_over_time(` + all + ` | json user="[\"user.name\"]" [{range}])))`},
	{name: "mean bytes by method", logsql: `* | stats by (http.request.method) avg(network.bytes) n`,
		logql: `avg_over_time(` + all + ` | json bytes="[\"network.bytes\"]", method="[\"http.request.method\"]" | unwrap bytes [{range}]) by (method)`},
	{name: "95th percentile of bytes", logsql: `* | stats quantile(0.95, network.bytes) n`,
		logql: `quantile_over_time(0.95, ` + all + ` | json bytes="[\"network.bytes\"]" | unwrap bytes [{range}]) by ()`},
	{name: "logins of one user, 100 lines", logsql: `event.action:=login user.name:=user777 | sort by (_time desc) limit 100`,
		logql: all + ` |= "\"event.action\":\"login\"" |= "\"user.name\":\"user777\""`, log: true},
}
