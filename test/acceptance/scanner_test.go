package acceptance

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/client"
	"icewatch/test/peers"
)

// TestScanner enrols the scanner's own program: it looks at nothing before two persons
// agreed on a range, finds the suite itself, which becomes a host of the CMDB, and a second
// discovery, after the suite was killed, changes nothing.
func TestScanner(t *testing.T) {
	t.Parallel()
	scanner := filepath.Join(bin, "icewatch-scanner")
	if _, err := os.Stat(scanner); err != nil {
		peers.Missing(t, "icewatch-scanner ("+scanner+"; make scanner)")
	}
	s := newSuite(t, "agents: {listen: '127.0.0.1:"+peers.FreePort(t)+"'}\n")
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const tenant = "e-seal"
	local, err := client.New(client.Options{URL: "http://localhost", Socket: filepath.Join(s.data, "run", "icewatch.sock"), UserAgent: "acceptance"})
	must(err)
	post := func(c *client.Client, path string, in, out any) error {
		return c.JSON(ctx, http.MethodPost, "/api/v1"+path, nil, in, out)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	var task, run struct {
		ID, State string
		Reason    string
		Notes     []string
		Discovery struct{ Created, Updated, Known, Changes int }
	}
	must(post(s.admin, "/scan-tasks", map[string]any{"tenant": tenant, "name": "suite", "kind": "discover", "targets": []string{"127.0.0.1"}, "tcp": []string{port}, "probes": []string{"tcp", "banner", "http"}, "unknown": "create"}, &task))
	if err := post(s.admin, "/scan-tasks/"+task.ID+"/start", map[string]any{}, &run); err == nil {
		t.Fatal("a scan began though nothing is approved")
	}
	var asked struct{ ID, State string }
	must(post(local, "/scan-ranges", map[string]any{"tenant": tenant, "cidr": "127.0.0.1", "reason": "acceptance", "days": 1}, &asked))
	if err := post(local, "/scan-ranges/"+asked.ID+"/approve", map[string]any{}, nil); err == nil {
		t.Fatal("who asked for a range approved it")
	}
	must(post(s.admin, "/scan-ranges/"+asked.ID+"/approve", map[string]any{}, &asked))

	var made struct{ Token string }
	must(post(s.admin, "/scanner-tokens", map[string]any{"tenant": tenant}, &made))
	home := t.TempDir()
	if out, err := exec.CommandContext(ctx, scanner, "enrol", "--dir", home, "--token", made.Token).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	must(err)
	program := exec.CommandContext(ctx, scanner, "run", "--dir", home)
	program.Stdout, program.Stderr = said, said
	must(program.Start())
	defer func() {
		_ = program.Process.Kill()
		_ = program.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(said.Name())
			t.Logf("%s", text)
		}
	}()
	scan := func() {
		t.Helper()
		must(post(s.admin, "/scan-tasks/"+task.ID+"/start", map[string]any{}, &run))
		for end := time.Now().Add(time.Minute); run.State != "done"; time.Sleep(200 * time.Millisecond) {
			must(s.admin.Get(ctx, "/api/v1/scan-runs/"+run.ID, nil, &run))
			if time.Now().After(end) || run.State == "failed" || run.State == "cancelled" || run.State == "expired" {
				t.Fatalf("%+v", run)
			}
		}
	}
	scan()
	if d := run.Discovery; d.Created != 1 || d.Known != 0 {
		t.Fatalf("%+v", run)
	}
	s.kill()
	s.start()
	scan()
	if d := run.Discovery; d.Created != 0 || d.Updated != 0 || d.Known != 1 || d.Changes != 0 {
		t.Errorf("a second discovery changed something: %+v", run)
	}
	var hosts struct {
		Items []struct {
			Address, Item string
			Services      []struct{ Category, Product string }
		}
	}
	must(s.admin.Get(ctx, "/api/v1/surface/hosts", nil, &hosts))
	if len(hosts.Items) != 1 || hosts.Items[0].Item == "" || len(hosts.Items[0].Services) != 1 || hosts.Items[0].Services[0].Category != "web" {
		t.Errorf("%+v", hosts)
	}
	// A package of templates comes to the scanner, and goes.
	template := filepath.Join(t.TempDir(), "city.yaml")
	must(os.WriteFile(template, []byte("id: city-banner\ninfo: {name: Banner, author: city, severity: info}\nhttp:\n  - method: GET\n    path: ['{{BaseURL}}/']\n    matchers: [{type: word, words: [city]}]\n"), 0o600))
	packed := template + ".tar.gz"
	if out, err := exec.CommandContext(ctx, "tar", "-czf", packed, "-C", filepath.Dir(template), "city.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := s.icectl("scans", "templates", "city", packed)
	if err != nil {
		t.Fatal(out, err)
	}
	fields := strings.Fields(out)
	has := func(want int) {
		t.Helper()
		eventually(t, 90*time.Second, "the scanner's packages", func() error {
			var list struct {
				Items []struct {
					Templates []struct{ Name, Source string }
				}
			}
			if err := s.admin.Get(ctx, "/api/v1/scanners", nil, &list); err != nil {
				return err
			}
			n := 0
			for _, x := range list.Items {
				for _, p := range x.Templates {
					if p.Name == "city" {
						n++
					}
				}
			}
			if n != want {
				return fmt.Errorf("%d of the package; %d is right: %+v", n, want, list)
			}
			return nil
		})
	}
	has(1)
	must(s.admin.JSON(ctx, http.MethodDelete, "/api/v1/scan-templates/"+fields[len(fields)-1], nil, nil, nil))
	has(0)
	// Another tenant is told of none of it.
	other := s.token("e-licence", "read")
	for _, path := range []string{"/scan-ranges", "/scan-tasks", "/scan-runs", "/scanners", "/surface/hosts", "/surface/changes", "/scan-engines"} {
		var page struct{ Total int }
		if err := other.Get(ctx, "/api/v1"+path, nil, &page); err != nil || page.Total != 0 {
			t.Errorf("%s tells another tenant of %d, %v", path, page.Total, err)
		}
	}
	if err := other.Get(ctx, "/api/v1/scan-runs/"+run.ID, nil, &run); err == nil {
		t.Error("another tenant reads the scan")
	}
}
