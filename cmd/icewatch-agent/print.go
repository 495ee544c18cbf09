package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"icewatch/collectors/agent"
	"icewatch/collectors/agent/inputs"
)

// modules are the versions of the parts whose versions matter.
func modules() map[string]string {
	out := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out["go"] = strings.TrimPrefix(info.GoVersion, "go")
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/influxdata/telegraf":
			out["telegraf"] = strings.TrimPrefix(m.Version, "v")
		case "github.com/shirou/gopsutil/v4":
			out["gopsutil"] = strings.TrimPrefix(m.Version, "v")
		}
	}
	return out
}

// printBatch prints a batch of samples in the exposition format.
func printBatch(body []byte, _ int) error {
	text, err := s2.Decode(nil, body)
	if err != nil {
		return err
	}
	return inputs.Print(os.Stdout, text)
}

func printStatus(dir string) error {
	s, err := agent.ReadStatus(dir)
	if err != nil {
		return err
	}
	c := s.Said
	fmt.Printf("%s, version %s, told %s ago\n", c.State, c.Version, time.Since(s.At).Round(time.Second))
	if s.Error != "" {
		fmt.Println("the suite is not reached:", s.Error)
	}
	for _, r := range c.Reasons {
		fmt.Printf("  %s: %s\n", r.Part, r.Text)
	}
	if c.Config != "" {
		fmt.Println("document", c.Config[:min(12, len(c.Config))])
	}
	if f := c.ConfigError; f != nil {
		fmt.Printf("  refused: %s, line %d: %s\n", f.Part, f.Line, f.Text)
	}
	for _, in := range c.Inputs {
		fmt.Printf("  %-24s %-8s %6d a minute  %s\n", in.Name, in.State, in.Rate, in.Error)
	}
	fmt.Printf("queue: %d batches, %d bytes, the oldest %d s; sent %d lines, %d samples; lost %d lines, %d samples\n", c.Queue.Batches, c.Queue.Bytes, c.Queue.OldestSeconds, c.Queue.SentLines, c.Queue.SentSamples, c.Queue.DroppedLines, c.Queue.DroppedMetrics)
	fmt.Printf("the agent takes %.1f %% of a core, %d MB\n", c.Usage.CPUPercent, c.Usage.MemoryBytes>>20)
	return nil
}
