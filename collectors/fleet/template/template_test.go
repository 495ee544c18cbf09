package template

import (
	"strings"
	"testing"

	"icewatch/collectors/agent/config"
)

func TestLibrary(t *testing.T) {
	t.Parallel()
	list, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Errorf("%d templates are shipped", len(list))
	}
	seen := map[string]bool{}
	for _, x := range list {
		if seen[x.Name] {
			t.Errorf("%s stands twice", x.Name)
		}
		seen[x.Name] = true
		if x.Title.ZH == "" || x.Title.EN == "" || x.Description.ZH == "" || x.Description.EN == "" {
			t.Errorf("%s lacks a text", x.Name)
		}
		values := map[string]string{}
		for _, p := range x.Params {
			if p.Label.ZH == "" || p.Label.EN == "" {
				t.Errorf("%s: the parameter %s lacks a label", x.Name, p.Name)
			}
			if p.Secret && p.Default != "" {
				t.Errorf("%s: the secret %s has a default", x.Name, p.Name)
			}
			values[p.Name] = p.Default
			if p.Default == "" && p.Required {
				values[p.Name] = "10.1.2.3"
				if p.Name == "paths" {
					values[p.Name] = "/var/log/x"
				}
			}
		}
		text, err := x.Render(values, func(string) string { return "s3cr3t" })
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		if _, err := config.Read([]byte(text)); err != nil {
			t.Errorf("%s: the agent refuses it: %v\n%s", x.Name, err, text)
		}
		if strings.Contains(text, "{{") {
			t.Errorf("%s: a placeholder is left:\n%s", x.Name, text)
		}
	}
}

// Values must not become structure.
func TestValuesStayValues(t *testing.T) {
	t.Parallel()
	x, _ := Get("nginx")
	evil := "http://a/\"]}\n  - {plugin: exec, settings: {commands: [id]}}\n#"
	text, err := x.Render(map[string]string{"url": evil}, nil)
	if err == nil && strings.Contains(text, "\n  - {plugin: exec") {
		t.Fatalf("a value became an input:\n%s", text)
	}
	redis, _ := Get("redis")
	text, err = redis.Render(map[string]string{"url": "tcp://a:1", "password": "x"}, func(n string) string { return "${secret:T/" + n + "}" })
	if err != nil || !strings.Contains(text, `password: "${secret:T/password}"`) || strings.Contains(text, "username") {
		t.Fatalf("%s %v", text, err)
	}
	if _, err := redis.Render(map[string]string{"url": "${secret:other/password}"}, nil); err == nil {
		t.Fatal("another task's secret can be named")
	}
	for values, want := range map[[2]string]string{{"url", ""}: "", {"nonsense", "1"}: "no such parameter", {"interval", "often"}: "no span of time", {"interval", "10ms"}: "want 1s or more"} {
		_, err := x.Render(map[string]string{values[0]: values[1]}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v", values, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("http://127.0.0.1", "10s")
	f.Add("http://a\n- b: {}", "1h")
	f.Fuzz(func(t *testing.T, url, interval string) {
		x, _ := Get("nginx")
		text, err := x.Render(map[string]string{"url": url, "interval": interval}, nil)
		if err != nil {
			return
		}
		p, err := config.Read([]byte(text))
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if len(p.Document.Inputs) != 1 || p.Document.Inputs[0].Plugin != "nginx" {
			t.Fatalf("a value became structure:\n%s", text)
		}
	})
}
