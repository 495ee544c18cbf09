package templates

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	nuclei "github.com/projectdiscovery/nuclei/v3/pkg/templates"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// page is what a fixture answers at a path; it has nothing anywhere else.
type page struct {
	at     string // path and query; "POST /path" for one that is posted to
	body   string
	status int    // 200 where it is 0
	header string // "Name: value"
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.URL.RequestURI()
	if r.Method != http.MethodGet {
		at = r.Method + " " + at
	}
	if at != p.at {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	if name, value, ok := strings.Cut(p.header, ": "); ok {
		w.Header().Set(name, value)
	}
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = w.Write([]byte(p.body))
}

const signIn = `<form method=post><input name=j_username><input type=password name=j_password></form></html>`

// fixtures are by template: what has the weakness, each in the words of a product or of
// a version of it, and twins that look like it and are fine.
var fixtures = map[string]struct{ weak, fine []page }{
	"apache-default-page": {[]page{{at: "/", body: "<title>Apache2 Debian Default Page: It works</title>"}, {at: "/", body: "<html><body><h1>It works!</h1></body></html>\n"}, {at: "/", body: "<html><head><title>It works! Apache httpd</title></head><body><p>It works!</p></body></html>"}},
		[]page{{at: "/", body: "<html><body><h1>It works!</h1><p>Our new portal is up.</p></body></html>"}, {at: "/", status: 403, body: "Apache2 Debian Default Page"}}},
	"apache-server-status": {[]page{{at: "/server-status", body: "<h1>Apache Server Status for localhost (via 127.0.0.1)</h1><dt>Server uptime:  1 hour</dt>"}},
		[]page{{at: "/server-status", status: 403, body: "Apache Server Status Server uptime"}, {at: "/server-status", body: "<h1>How to read Apache Server Status</h1>"}}},
	"apusic-console":   {[]page{{at: "/admin/", body: "<html><title>Apusic Application Server</title>" + signIn}}, []page{{at: "/admin/", body: "<html>合作伙伴:金蝶天燕</html>"}, {at: "/admin/", body: "<html><title>Admin</title>" + signIn}}},
	"bes-console":      {[]page{{at: "/console/", body: "<html><title>BES Application Server</title>" + signIn}}, []page{{at: "/console/", body: "<html>我们支持宝兰德中间件</html>"}, {at: "/console/", body: signIn}}},
	"tongweb-console":  {[]page{{at: "/console/", body: "<html><title>TongWeb管理控制台</title>" + signIn}}, []page{{at: "/console/", body: "<html>新闻:东方通发布新产品</html>"}, {at: "/console/", body: signIn}}},
	"weblogic-console": {[]page{{at: "/console/login/LoginForm.jsp", body: "<title>Oracle WebLogic Server Administration Console</title>" + signIn}}, []page{{at: "/console/login/LoginForm.jsp", body: "<p>WebLogic Server was replaced.</p>"}, {at: "/console/login/LoginForm.jsp", status: 404, body: "WebLogic Server password"}}},
	"xxl-job-console":  {[]page{{at: "/xxl-job-admin/toLogin", body: "<title>任务调度中心</title>" + signIn}, {at: "/toLogin", body: "<b>XXL</b>XXL-JOB" + signIn}}, []page{{at: "/toLogin", body: "<p>XXL-JOB 使用说明</p>"}, {at: "/toLogin", body: signIn}}},
	"consul-open":      {[]page{{at: "/v1/agent/self", body: `{"Config":{"Datacenter":"dc1","NodeName":"n1"},"Member":{}}`}}, []page{{at: "/v1/agent/self", status: 403, body: `Permission denied: "Config" "Datacenter" "NodeName"`}, {at: "/v1/agent/self", body: `{"Config":{}}`}}},
	"couchdb-open": {[]page{{at: "/_all_dbs", header: "Server: CouchDB/3.3.3 (Erlang OTP/24)", body: `["_replicator","_users"]`}, {at: "/_all_dbs", header: "Server: CouchDB/3.3.3 (Erlang OTP/24)", body: "[]\n"}},
		[]page{{at: "/_all_dbs", status: 401, header: "Server: CouchDB/3.3.3 (Erlang OTP/24)", body: `{"error":"unauthorized","reason":"You are not a server admin."}`}, {at: "/_all_dbs", header: "Server: nginx", body: `["a"]`}}},
	"directory-listing": {[]page{{at: "/", body: "<html><head><title>Index of /</title></head><body><h1>Index of /</h1>"}, {at: "/uploads/", body: "<title>Directory Listing For [/uploads/]</title>"}, {at: "/files/", body: "<title>Directory listing for /files/</title>"},
		{at: "/backup/", body: `<pre><A HREF="/">[To Parent Directory]</A><br>`}, {at: "/static/", body: "<title>Directory: /static/</title>"}},
		[]page{{at: "/", body: "<title>Index of services</title><h1>Index of our services</h1>"}, {at: "/files/", status: 403, body: "<title>Index of /files/</title>"}}},
	"docker-api-open":    {[]page{{at: "/version", body: `{"Platform":{"Name":""},"Version":"24.0.5","ApiVersion":"1.43","MinAPIVersion":"1.12","GitCommit":"x","GoVersion":"go1.20"}`}}, []page{{at: "/version", body: `{"Version":"24.0.5","GoVersion":"go1.20"}`}, {at: "/version", status: 401, body: `"ApiVersion" "GoVersion" "MinAPIVersion"`}}},
	"druid-monitor-open": {[]page{{at: "/druid/index.html", body: "<title>Druid Stat Index</title>"}, {at: "/druid/sql.html", body: "<script>druid.common.init</script>"}}, []page{{at: "/druid/index.html", status: 302, header: "Location: login.html", body: "Druid Stat Index"}, {at: "/druid/index.html", body: "<title>druid monitor</title>" + signIn}}},
	"elasticsearch-open": {[]page{{at: "/_cat/indices?format=json", body: `[{"health":"green","status":"open","index":"logs","uuid":"x","pri":"1"}]`}, {at: "/", body: `{"name":"n","cluster_name":"c","cluster_uuid":"u","version":{"number":"8.1.0"},"tagline":"You Know, for Search"}`}, {at: "/", body: `{"cluster_uuid":"u","tagline":"The OpenSearch Project: https://opensearch.org/"}`}},
		[]page{{at: "/", status: 401, body: `{"error":{"type":"security_exception"},"cluster_uuid":"You Know, for Search"}`}, {at: "/", body: "<p>You Know, for Search</p>"}, {at: "/_cat/indices?format=json", body: `{"health":"ok"}`}}},
	"etcd-open": {[]page{{at: "/v2/keys/", body: `{"action":"get","node":{"dir":true}}`}, {at: "POST /v3/kv/range", body: `{"header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"2"},"count":"1"}`}, {at: "POST /v3beta/kv/range", body: `{"header":{"cluster_id":"1","revision":"3"}}`}},
		[]page{{at: "POST /v3/kv/range", status: 400, body: `{"error":"etcdserver: user name is empty","code":3,"message":"etcdserver: user name is empty"}`}, {at: "/v2/keys/", status: 401, body: `{"errorCode":110,"message":"The request requires user authentication"}`}, {at: "POST /v3/kv/range", body: `{"header":"x"}`}}},
	"exposed-backup-archive": {[]page{{at: "/backup.zip", header: "Content-Type: application/zip", body: "PK\x03\x04\x14\x00"}, {at: "/www.tar.gz", header: "Content-Type: application/gzip", status: 206, body: "\x1f\x8b\x08\x00rest"}, {at: "/backup.rar", header: "Content-Type: application/octet-stream", body: "Rar!\x1a\x07\x01\x00"}},
		[]page{{at: "/backup.zip", header: "Content-Type: text/html", body: "PK\x03\x04"}, {at: "/backup.zip", header: "Content-Type: image/jpeg", body: "\xff\xd8\xff\xe0 picture with PK\x03\x04 and \x1f\x8b\x08 within"}}},
	"exposed-ds-store":      {[]page{{at: "/.DS_Store", body: "\x00\x00\x00\x01Bud1\x00\x00"}}, []page{{at: "/.DS_Store", body: "<html>.DS_Store Bud1</html>"}, {at: "/.DS_Store", status: 403, body: "\x00\x00\x00\x01Bud1"}}},
	"exposed-env-file":      {[]page{{at: "/.env", body: "APP_NAME=portal\nAPP_KEY=base64:x\n"}, {at: "/.env.local", body: "export DB_HOST=db\n"}, {at: "/.env.production", body: "PASSWORD=x\n"}, {at: "/.env", body: "DATABASE_URL = postgres://x\n"}}, []page{{at: "/.env", body: "APP_NAME=portal\nTZ=Asia/Shanghai\n"}, {at: "/.env", body: "<!doctype html>\n<HTML>\nDB_PASSWORD=x"}}},
	"exposed-git-config":    {[]page{{at: "/.git/config", body: "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"}}, []page{{at: "/.git/config", body: "<html>How to write [core] with repositoryformatversion</html>"}, {at: "/.git/config", body: "[core]\nname = x\n"}}},
	"exposed-htpasswd":      {[]page{{at: "/.htpasswd", body: "admin:$apr1$abc$def\n"}, {at: "/.htpasswd", body: "admin:$2y$05$abc\n"}, {at: "/.htpasswd", body: "admin:rl.3StKT.4T8M\n"}, {at: "/.htpasswd", body: "admin:$6$salt$hash\n"}}, []page{{at: "/.htpasswd", body: "admin:see the wiki\n"}, {at: "/.htpasswd", body: "<html>\nadmin:$apr1$abc$def\n"}}},
	"exposed-private-key":   {[]page{{at: "/id_rsa", body: "-----BEGIN OPENSSH PRIVATE KEY-----\nx"}, {at: "/privkey.pem", body: "-----BEGIN PRIVATE KEY-----\nx"}}, []page{{at: "/server.key", body: "-----BEGIN PUBLIC KEY-----\nx"}, {at: "/privkey.pem", body: "-----BEGIN CERTIFICATE-----\nx"}}},
	"exposed-sql-dump":      {[]page{{at: "/dump.sql", body: "-- MySQL dump 10.13\nCREATE TABLE `a` (id int);"}, {at: "/db.sql", status: 206, body: "-- PostgreSQL database dump\n"}}, []page{{at: "/dump.sql", body: "<!doctype html><HTML>Learn CREATE TABLE and INSERT INTO"}, {at: "/backup.sql", body: "nothing here"}}},
	"exposed-svn-entries":   {[]page{{at: "/.svn/wc.db", body: "SQLite format 3\x00\x10\x00 CREATE TABLE NODES ( wc_id INTEGER )"}, {at: "/.svn/entries", body: "10\n\ndir\n42\nhttps://svn.example/repo\n"}}, []page{{at: "/.svn/wc.db", body: "SQLite format 3\x00 CREATE TABLE goods"}, {at: "/.svn/entries", body: "12\n"}, {at: "/.svn/wc.db", body: "<p>SQLite format 3 has NODES</p>"}}},
	"hadoop-yarn-open":      {[]page{{at: "/ws/v1/cluster/info", body: `{"clusterInfo":{"id":1,"state":"STARTED","resourceManagerVersion":"3.3.6"}}`}}, []page{{at: "/ws/v1/cluster/info", status: 401, body: `"clusterInfo" "resourceManagerVersion"`}, {at: "/ws/v1/cluster/info", body: `{"clusterInfo":{}}`}}},
	"iis-default-page":      {[]page{{at: "/", body: "<title>IIS Windows Server</title>"}, {at: "/", body: "<title>IIS7</title>"}, {at: "/", body: "<title>Microsoft Internet Information Services 8</title>"}}, []page{{at: "/", body: "<title>About IIS Windows Server</title>"}}},
	"jenkins-script-open":   {[]page{{at: "/script", body: "<pre>println(Jenkins.instance.pluginManager.plugins)</pre>"}, {at: "/jenkins/script", body: "<pre>println(hudson.model.Hudson.instance.pluginManager.plugins)</pre>"}}, []page{{at: "/script", status: 403, body: "println(Jenkins.instance.pluginManager.plugins)"}, {at: "/script", body: "<title>Sign in [Jenkins]</title>"}}},
	"kubelet-open":          {[]page{{at: "/pods", body: `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}`}, {at: "/pods", body: "{\n  \"kind\": \"PodList\",\n  \"items\": []\n}"}}, []page{{at: "/pods", status: 401, body: "Unauthorized"}, {at: "/pods", body: `{"items":[{"name":"iPod"}]}`}}},
	"kubernetes-api-open":   {[]page{{at: "/api/v1/namespaces", body: "{\n  \"kind\": \"NamespaceList\",\n  \"apiVersion\": \"v1\"}"}}, []page{{at: "/api/v1/namespaces", status: 403, body: `{"kind":"Status","message":"namespaces is forbidden","NamespaceList":1}`}, {at: "/api/v1/namespaces", body: `{"namespaces":[]}`}}},
	"nacos-console":         {[]page{{at: "/nacos/", body: "<html><title>Nacos</title></html>"}}, []page{{at: "/nacos/", body: "<title>Nacos 使用手册</title>"}, {at: "/nacos/", status: 403, body: "<title>Nacos</title>"}}},
	"nacos-users-open":      {[]page{{at: "/nacos/v1/auth/users?pageNo=1&pageSize=2", body: `{"totalCount":1,"pageItems":[{"username":"nacos","password":"$2a$10$x"}]}`}, {at: "/v1/auth/users?pageNo=1&pageSize=2", body: `{"pageItems":[{"username":"nacos","password":"$2a$10$x"}]}`}}, []page{{at: "/nacos/v1/auth/users?pageNo=1&pageSize=2", status: 403, body: `"pageItems" "username" "password"`}, {at: "/nacos/v1/auth/users?pageNo=1&pageSize=2", body: `{"pageItems":[]}`}}},
	"nginx-default-page":    {[]page{{at: "/", body: "<title>Welcome to nginx!</title>"}, {at: "/", body: "<title>Welcome to nginx on Debian!</title>"}}, []page{{at: "/", body: "<title>Portal</title><p>Welcome to nginx!</p>"}}},
	"phpinfo-page":          {[]page{{at: "/info.php", body: "<title>PHP 8.2.7 - phpinfo()</title>PHP Version 8.2.7 PHP Extension 20220829"}, {at: "/i.php", body: "<title>phpinfo()</title>PHP Version 5.2.1 PHP Extension 20060613"}}, []page{{at: "/info.php", body: "<title>Questions</title>Which PHP Version has this PHP Extension?"}, {at: "/phpinfo.php", body: "<title>phpinfo()</title>disabled"}}},
	"prometheus-open":       {[]page{{at: "/api/v1/status/config", body: `{"status":"success","data":{"yaml":"global:\n"}}`}}, []page{{at: "/api/v1/status/config", status: 401, body: `"status":"success" "yaml"`}, {at: "/api/v1/status/config", body: `{"status":"success","data":{}}`}}},
	"solr-admin-open":       {[]page{{at: "/solr/admin/cores?wt=json", body: `{"responseHeader":{"status":0},"initFailures":{},"status":{}}`}, {at: "/solr/admin/info/system?wt=json", body: `{"responseHeader":{"status":0},"lucene":{"solr-spec-version":"9.1.0"}}`}}, []page{{at: "/solr/admin/cores?wt=json", status: 401, body: `"responseHeader" "initFailures"`}, {at: "/solr/admin/cores?wt=json", body: `{"responseHeader":{"status":0}}`}}},
	"spark-master-open":     {[]page{{at: "/json/", body: `{"url" : "spark://m:7077","workers" : [ ]}`}}, []page{{at: "/json/", body: `{"workers":[]}`}, {at: "/json/", status: 401, body: `"spark:// "workers"`}}},
	"spring-actuator-env":   {[]page{{at: "/actuator/env", body: `{"activeProfiles":["prod"],"propertySources":[{"name":"systemProperties"}]}`}, {at: "/env", body: `{"propertySources":[{"name":"server.ports"}],"x":"systemEnvironment"}`}}, []page{{at: "/actuator/env", status: 401, body: `"propertySources" systemProperties`}, {at: "/env", body: `{"activeProfiles":["prod"]}`}}},
	"spring-actuator-index": {[]page{{at: "/actuator", body: `{"_links":{"self":{"href":"http://h/actuator"},"env":{"href":"http://h/actuator/env"}}}`}, {at: "/actuator", body: `{"_links":{"heapdump":{"href":"http://h/actuator/heapdump"}}}`}}, []page{{at: "/actuator", body: `{"_links":{"self":{"href":"http://h/actuator"},"health":{"href":"http://h/actuator/health"}}}`}}},
	"swagger-open":          {[]page{{at: "/v2/api-docs", body: `{"swagger":"2.0","paths":{}}`}, {at: "/v3/api-docs", body: `{"openapi":"3.0.1","paths":{}}`}, {at: "/api/swagger.json", body: `{"swagger":"2.0","paths":{}}`}}, []page{{at: "/v3/api-docs", status: 401, body: `{"openapi":"3.0.1","paths":{}}`}, {at: "/openapi.json", body: `{"openapi":"3.0.1"}`}}},
	"tomcat-default-page":   {[]page{{at: "/", body: "<title>Apache Tomcat/9.0.70</title><h2>If you're seeing this, you've successfully installed Tomcat. Congratulations!</h2>"}}, []page{{at: "/", status: 404, body: "<title>Apache Tomcat/9.0.70 - Error report</title>"}, {at: "/", body: "<title>Portal on Apache Tomcat</title>"}}},
}

// TestShippedTemplates runs each shipped template on servers that have its weakness,
// and on twins that have not.
func TestShippedTemplates(t *testing.T) {
	t.Parallel()
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, scope.NewDialer(s, nil, time.Second), false, Shipped())
	e.exec.RateLimiter.SetLimit(100_000) // The pace of a run is for other hosts than this one.
	for _, tm := range e.list {
		f, ok := fixtures[tm.ID]
		if !ok || len(f.weak) == 0 || len(f.fine) == 0 {
			t.Errorf("%s has no fixture and twin", tm.ID)
			continue
		}
		one := *e
		one.list = []*nuclei.Template{tm}
		find := func(p page) (found []wire.Weakness) {
			server := httptest.NewServer(p)
			defer server.Close()
			one.Service(context.Background(), target(t, server.URL, ""), func(w wire.Weakness) { found = append(found, w) }, func(n wire.Note) { t.Errorf("%s: %s", tm.ID, n.Text) })
			return found
		}
		for _, p := range f.weak {
			_, path, posted := strings.Cut(p.at, " ")
			if !posted {
				path = p.at
			}
			if got := find(p); len(got) != 1 || got[0].Check != tm.ID || got[0].Path != path || got[0].TitleZH == "" || got[0].SolutionZH == "" || len(got[0].CWE) == 0 || got[0].Solution == "" {
				t.Errorf("%s at %s, %.60q: %+v", tm.ID, p.at, p.body, got)
			}
		}
		for _, p := range f.fine {
			if got := find(p); len(got) != 0 {
				t.Errorf("%s on the twin, %d %.60q: %+v", tm.ID, p.status, p.body, got)
			}
		}
	}
	if len(fixtures) != len(e.list) {
		t.Errorf("%d fixtures for %d templates", len(fixtures), len(e.list))
	}
}
