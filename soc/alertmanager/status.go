package alertmanager

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"icewatch/soc/version"
	"icewatch/ticketing"
)

// routing is what is told to whom, in the words of Alertmanager's configuration,
// so that its tools can show it (amtool config routes).
type routing struct {
	Global    map[string]string `yaml:"global"`
	Route     route             `yaml:"route"`
	Receivers []receiverConfig  `yaml:"receivers"`
}

type route struct {
	Receiver      string   `yaml:"receiver"`
	Matchers      []string `yaml:"matchers,omitempty"`
	GroupBy       []string `yaml:"group_by,omitempty"`
	GroupWait     string   `yaml:"group_wait,omitempty"`
	GroupInterval string   `yaml:"group_interval,omitempty"`
	Continue      bool     `yaml:"continue,omitempty"`
	Routes        []route  `yaml:"routes,omitempty"`
}

type receiverConfig struct {
	Name string `yaml:"name"`
}

// speaks is the version of Alertmanager whose API this is: clients such as karma
// go by it. The suite's own stands beside it as the branch.
const speaks = "0.32.1"

func (s *Service) status(c *fiber.Ctx) error {
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	list, err := s.receivers(c.UserContext(), within)
	if err != nil {
		return err
	}
	cfg := routing{Global: map[string]string{"resolve_timeout": model.Duration(refreshed).String()}, Receivers: []receiverConfig{{own}}}
	cfg.Route = route{Receiver: own, GroupBy: []string{"alertname", "tenant"}, GroupWait: "0s", GroupInterval: model.Duration(s.GroupInterval).String()}
	for _, r := range list {
		if r.Name == own {
			continue
		}
		to := route{Receiver: r.Name, GroupBy: []string{"incident"}, Continue: true}
		if len(r.Tenants) > 0 {
			quoted := make([]string, 0, len(r.Tenants))
			for _, t := range r.Tenants {
				if within.CoversTenant(t) {
					quoted = append(quoted, regexp.QuoteMeta(t))
				}
			}
			to.Matchers = []string{fmt.Sprintf("tenant=~%q", strings.Join(quoted, "|"))}
		}
		cfg.Route.Routes = append(cfg.Route.Routes, to)
		cfg.Receivers = append(cfg.Receivers, receiverConfig{r.Name})
	}
	original, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("alertmanager: write the routing: %w", err)
	}
	return c.JSON(map[string]any{
		"cluster": map[string]any{"peers": []string{}, "status": "disabled"},
		"config":  map[string]string{"original": string(original)},
		"uptime":  ticketing.Time{Time: s.started},
		"versionInfo": map[string]string{"version": speaks, "revision": version.Commit(), "branch": "icewatch " + s.Version, "buildUser": "icewatch",
			"buildDate": "", "goVersion": runtime.Version()},
	})
}
