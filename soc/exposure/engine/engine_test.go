package engine

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/egress"
	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

func open(t *testing.T, c *cmdb.Service, now func() time.Time) *Service {
	t.Helper()
	ctx, quiet := t.Context(), slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	found, err := finding.Open(ctx, c.Database(), finding.Deps{Items: c, Log: quiet, Clock: now})
	must(err)
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "own.db"))
	must(err)
	t.Cleanup(func() { db.Close() })
	secrets, err := credential.Open(ctx, db, seal.Ephemeral(credential.Sealed()...))
	must(err)
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}})
	must(err)
	s, err := Open(ctx, Deps{Database: c.Database(), Secrets: secrets, Egress: guard, Findings: found, Log: quiet, Now: now})
	must(err)
	return s
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../report/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func inPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// serve starts a server over TLS that answers as the routes say to whoever shows the
// header, and tells its authority.
func serve(t *testing.T, header, value string, routes map[string]http.HandlerFunc) (address, ca string) {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, f := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(header) != value && r.URL.Path != "/server/properties" {
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(w, `{"error":"Invalid Credentials"}`)
				return
			}
			f(w, r)
		})
	}
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL, inPEM(srv.Certificate().Raw)
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// TestNessus speaks to a server that answers as Nessus documents at /api.
func TestNessus(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		ctx := t.Context()
		at := time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)
		s := open(t, c, func() time.Time { return at })
		scan := sample(t, "scan.nessus")
		var launched atomic.Bool
		var asked atomic.Int32
		address, ca := serve(t, "X-ApiKeys", "accessKey=AK; secretKey=SK", map[string]http.HandlerFunc{
			"GET /server/properties": say(`{"nessus_type":"Nessus Professional","server_version":"10.8.3","nessus_ui_version":"10.8.3"}`),
			"GET /scans":             say(`{"folders":[],"scans":[{"id":7,"uuid":"u","name":"DMZ weekly","status":"completed","last_modification_date":1772438400}]}`),
			"POST /scans/7/launch": func(w http.ResponseWriter, _ *http.Request) {
				launched.Store(true)
				fmt.Fprint(w, `{"scan_uuid":"44346bcb"}`)
			},
			"POST /scans/7/export": say(`{"token":"x","file":99}`),
			"GET /scans/7/export/99/status": func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"status":%q}`, map[bool]string{true: "loading", false: "ready"}[asked.Add(1) == 1])
			},
			"GET /scans/7/export/99/download": func(w http.ResponseWriter, _ *http.Request) { w.Write(scan) },
		})
		d := EngineDraft{Tenant: "a", Name: "Nessus", Kind: Nessus, URL: address, User: "AK", Secret: "wrong", CA: ca, Jump: "https://nessus.example/", Scan: "7", Cron: "30 * * * *"}
		e, err := s.Put(ctx, reach.Tenants("a"), "wang", "", d)
		if err != nil || e.Secret != "" || !e.Held {
			t.Fatal(e, err)
		}
		if e, err = s.Check(ctx, reach.All(), e.ID); err != nil || e.State != Failing || !strings.Contains(e.Error, "refused") || strings.Contains(e.Error, "wrong") {
			t.Fatalf("%+v, %v", e, err)
		}
		// The secret does not go elsewhere by changing the address alone.
		moved := d
		moved.Secret, moved.URL = "", "https://127.0.0.2:1"
		if _, err := s.Put(ctx, reach.All(), "wang", e.ID, moved); !errors.Is(err, ErrInvalid) {
			t.Errorf("moved with its secret: %v", err)
		}
		d.Secret = "SK"
		if _, err := s.Put(ctx, reach.All(), "wang", e.ID, d); err != nil {
			t.Fatal(err)
		}
		s.Step(ctx) // the connection is tested by itself
		if e = s.List(reach.All())[0]; e.State != OK || e.Version != "10.8.3" || launched.Load() {
			t.Fatalf("%+v", e)
		}
		if _, err := s.Check(ctx, reach.Tenants("b"), e.ID); !errors.Is(err, ErrNotFound) || len(s.List(reach.Tenants("b"))) != 0 {
			t.Errorf("another tenant's engine: %v", err)
		}
		if list, err := s.Scans(ctx, reach.All(), e.ID); err != nil || len(list) != 1 || list[0].Name != "DMZ weekly" || !list[0].Done {
			t.Errorf("%+v, %v", list, err)
		}
		at = at.Add(31 * time.Minute)
		s.Step(ctx) // launched by its schedule
		if e = s.List(reach.All())[0]; !launched.Load() || !e.Pending {
			t.Fatalf("%+v", e)
		}
		s.Step(ctx) // and its report is fetched
		if e = s.List(reach.All())[0]; e.Pending || e.New == 0 || e.Error != "" {
			t.Fatalf("%+v", e)
		}
		if _, n, err := s.Findings.List(ctx, reach.Tenants("a"), finding.Question{Engine: "nessus", Limit: 1}); err != nil || n != e.New {
			t.Errorf("%d findings of %d, %v", n, e.New, err)
		}
		if err := s.Delete(ctx, reach.All(), e.ID); err != nil || len(s.List(reach.All())) != 0 {
			t.Error(err)
		}
	})
}

// gmpServer speaks the documented part of GMP over TLS.
func gmpServer(t *testing.T, report string) (address, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serveGMP(conn, report)
		}
	}()
	return "tls://" + ln.Addr().String(), inPEM(der)
}

func serveGMP(conn net.Conn, report string) {
	defer conn.Close()
	d := xml.NewDecoder(bufio.NewReader(conn))
	in := false
	for {
		t, err := d.Token()
		if err != nil {
			return
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		is := func(name, value string) bool {
			return slices.ContainsFunc(start.Attr, func(a xml.Attr) bool { return a.Name.Local == name && a.Value == value })
		}
		name := start.Name.Local
		if name == "authenticate" {
			var x struct {
				User     string `xml:"credentials>username"`
				Password string `xml:"credentials>password"`
			}
			if d.DecodeElement(&x, &start) != nil {
				return
			}
			if in = x.User == "admin" && x.Password == `p<&"1`; in {
				fmt.Fprint(conn, `<authenticate_response status="200" status_text="OK"><role>Admin</role><timezone>UTC</timezone></authenticate_response>`)
			} else {
				fmt.Fprint(conn, `<authenticate_response status="400" status_text="Authentication failed"/>`)
			}
			continue
		}
		if d.Skip() != nil {
			return
		}
		switch {
		case !in:
			fmt.Fprint(conn, `<gmp_response status="401" status_text="Authenticate first"/>`)
		case name == "get_version":
			fmt.Fprint(conn, `<get_version_response status="200" status_text="OK"><version>22.5</version></get_version_response>`)
		case name == "get_tasks":
			fmt.Fprint(conn, `<get_tasks_response status="200" status_text="OK"><apply_overrides>0</apply_overrides><task id="13bb418a"><name>DMZ</name><status>Done</status><last_report><report id="r-1"><scan_end>2026-03-02T08:00:00Z</scan_end></report></last_report></task></get_tasks_response>`)
		case name == "start_task" && is("task_id", "13bb418a"):
			fmt.Fprint(conn, `<start_task_response status="202" status_text="OK, request submitted"><report_id>r-2</report_id></start_task_response>`)
		case name == "get_reports" && is("report_id", "r-1") && is("format_id", nativeXML):
			fmt.Fprintf(conn, `<get_reports_response status="200" status_text="OK">%s</get_reports_response>`, report)
		default:
			fmt.Fprintf(conn, `<%s_response status="404" status_text="Failed to find it"/>`, name)
		}
	}
}

func TestGreenbone(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		ctx := t.Context()
		s := open(t, c, time.Now)
		address, ca := gmpServer(t, string(sample(t, "openvas.xml")))
		d := EngineDraft{Tenant: "a", Name: "Greenbone", Kind: Greenbone, URL: address, User: "admin", Secret: "no", CA: ca}
		e, err := s.Put(ctx, reach.All(), "wang", "", d)
		if err != nil {
			t.Fatal(err)
		}
		if e, err = s.Check(ctx, reach.All(), e.ID); err != nil || e.State != Failing || !strings.Contains(e.Error, "Authentication failed") {
			t.Fatalf("%+v, %v", e, err)
		}
		d.Secret = `p<&"1`
		if e, err = s.Put(ctx, reach.All(), "wang", e.ID, d); err != nil {
			t.Fatal(err)
		}
		if e, err = s.Check(ctx, reach.All(), e.ID); err != nil || e.State != OK || e.Version != "GMP 22.5" {
			t.Fatalf("%+v, %v", e, err)
		}
		if list, err := s.Scans(ctx, reach.All(), e.ID); err != nil || len(list) != 1 || !list[0].Done || list[0].Finished.IsZero() {
			t.Fatal(list, err)
		}
		if e, err = s.Launch(ctx, reach.All(), e.ID, "13bb418a"); err != nil || !e.Pending {
			t.Fatal(e, err)
		}
		if _, err := s.Launch(ctx, reach.All(), e.ID, "none"); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "404") {
			t.Errorf("a task that is not there: %v", err)
		}
		if e, err = s.Fetch(ctx, reach.All(), "wang", e.ID, "13bb418a"); err != nil || e.New == 0 {
			t.Fatalf("%+v, %v", e, err)
		}
		// Without its authority the certificate is not believed.
		d.CA = ""
		if e, err = s.Put(ctx, reach.All(), "wang", e.ID, d); err != nil {
			t.Fatal(err)
		}
		if e, err = s.Check(ctx, reach.All(), e.ID); err != nil || e.State != Failing || !strings.Contains(e.Error, "certificate") {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

func TestGeneric(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		ctx := t.Context()
		s := open(t, c, time.Now)
		address, ca := serve(t, "X-Token", "t1", map[string]http.HandlerFunc{"GET /health": say("ok"), "GET /jobs/42/report.csv": say("资产,风险,等级\n10.0.0.8,弱口令,高\n")})
		e, err := s.Put(ctx, reach.All(), "wang", "", EngineDraft{Tenant: "a", Name: "某厂商", Kind: HTTP, URL: address, User: "X-Token", Secret: "t1", CA: ca, Scan: "42", Check: "/health", Report: "/jobs/{scan}/report.csv", Format: "csv", Mapping: `{"address":"资产","title":"风险","level":"等级"}`})
		if err != nil {
			t.Fatal(err)
		}
		if e, err = s.Check(ctx, reach.All(), e.ID); err != nil || e.State != OK {
			t.Fatalf("%+v, %v", e, err)
		}
		if e, err = s.Fetch(ctx, reach.All(), "wang", e.ID, ""); err != nil || e.New != 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		if _, err := s.Launch(ctx, reach.All(), e.ID, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("launched without a path: %v", err)
		}
		for _, bad := range []EngineDraft{{Kind: HTTP, URL: "http://x"}, {Kind: Nessus, URL: "https://u:p@x"}, {Kind: Greenbone, URL: "https://x"}, {Kind: "x", URL: "https://x"}, {Kind: Nessus, URL: "https://x", CA: "no"}, {Kind: Nessus, URL: "https://x", Cron: "0 1 * * *"}, {Kind: Nessus, URL: "https://x", Jump: "javascript:alert(1)"}} {
			bad.Tenant, bad.Name = "a", "x"
			if _, err := s.Put(ctx, reach.All(), "x", "", bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}
