package config

import (
	"strings"
	"testing"
	"time"
)

const whole = `inputs:
  - plugin: redis
    name: cache
    interval: 5s
    settings:
      servers: ["tcp://127.0.0.1:6379"]
      password: "a\"b\\$c"
      commands:
        - command: [get, x]
          field: f
      tags: {role: cache}
  - plugin: cpu
    toml: |
      # of telegraf's documentation
      [[inputs.cpu]]
      percpu = false
limits: {memory_mb: 80}
`

func TestRead(t *testing.T) {
	t.Parallel()
	p, err := Read([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	in := p.Inputs[0]
	want := "servers = [\"tcp://127.0.0.1:6379\"]\npassword = \"a\\\"b\\\\$c\"\n[[inputs.redis.commands]]\ncommand = [\"get\", \"x\"]\nfield = \"f\"\n[inputs.redis.tags]\nrole = \"cache\"\n"
	if in.Settings != want || in.Interval != 5*time.Second || in.Name != "cache" {
		t.Fatalf("%q\nwant\n%q (%+v)", in.Settings, want, in)
	}
	if in.DocumentLine(2) != 7 || in.DocumentLine(5) != 10 {
		t.Fatalf("lines %d, %d", in.DocumentLine(2), in.DocumentLine(5))
	}
	cpu := p.Inputs[1]
	if strings.Contains(cpu.Settings, "inputs.cpu") || cpu.DocumentLine(3) != 16 || cpu.Name != "cpu" || cpu.Interval != DefaultInterval {
		t.Fatalf("%+v, line %d", cpu, cpu.DocumentLine(3))
	}
	if p.Limits.MemoryMB != 80 || p.Limits.DiskMB != 512 || p.Limits.Host.DiskPercent != 95 {
		t.Fatalf("%+v", p.Limits)
	}
	for _, text := range []string{"", Default} {
		if _, err := Read([]byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if again, _ := Read([]byte(whole)); again.Inputs[0].Key() != in.Key() || again.Inputs[1].Key() == in.Key() {
		t.Fatal("keys")
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"inputs:\n  - plugin: cpu\n    toml: |\n      a = 1\n      [[inputs.exec]]\n": "inputs.cpu, line 5: [[inputs.exec]] begins another section",
		"inputs:\n  - plugin: cpu\n    toml: |\n      [agent]\n      a = 1\n":         "inputs.cpu, line 4: [agent] begins another section",
		"inputs:\n  - plugin: cpu\n    settings:\n      a: ~\n":                       "inputs.cpu, line 4: a setting has no value",
		"inputs:\n  - plugin: cpu\n    settings:\n      a: [1, {b: 2}]\n":             "inputs.cpu, line 4: a list has values or groups",
		"inputs:\n  - plugin: cpu\n    settings:\n      a: .nan\n":                    "inputs.cpu, line 4:",
	} {
		_, err := Read([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("inputs: [{plugin: x, settings: {a: {c: [1, 2.5, true]}, d: [[a], []]}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(data)
		if err != nil {
			return
		}
		for _, in := range p.Inputs {
			if in.DocumentLine(1) < 1 || len(in.lines) > 0 && strings.Count(in.Settings, "\n") > len(in.lines) {
				t.Fatalf("%+v", in)
			}
		}
	})
}
