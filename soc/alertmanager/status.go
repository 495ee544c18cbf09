package alertmanager

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"icewatch/soc/reach"
	"icewatch/soc/version"
	"icewatch/ticketing"
	"icewatch/ticketing/routing"
)

// configuration is what is told to whom, in the words of Alertmanager's
// configuration, so that its tools can show it and ask it (amtool config routes).
// Receivers have names only: their settings hold secrets.
type configuration struct {
	Global    map[string]string  `yaml:"global"`
	Route     route              `yaml:"route"`
	Receivers []receiverConfig   `yaml:"receivers"`
	Intervals []routing.Interval `yaml:"time_intervals,omitempty"`
}

// route is the root, which stands for the console; below it are the receivers
// that are told of every incident, and the routing trees.
type route struct {
	Receiver      string           `yaml:"receiver"`
	GroupBy       []string         `yaml:"group_by"`
	GroupWait     string           `yaml:"group_wait"`
	GroupInterval string           `yaml:"group_interval"`
	Routes        []map[string]any `yaml:"routes,omitempty"`
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
	cfg, err := s.configuration(c.UserContext(), within)
	if err != nil {
		return err
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

// configuration describes what is told to whom as far as it is within reach: the
// city's routes name what is anybody's, so that they are for those who see
// everything; a tenant's are for those who see all of the tenant.
func (s *Service) configuration(ctx context.Context, within reach.Reach) (configuration, error) {
	cfg := configuration{Global: map[string]string{"resolve_timeout": model.Duration(refreshed).String()},
		Receivers: []receiverConfig{{own}}, Route: route{Receiver: own, GroupBy: []string{"alertname", "tenant"}, GroupWait: "0s", GroupInterval: model.Duration(s.GroupInterval).String()}}
	list, err := s.receivers(ctx, within)
	if err != nil {
		return cfg, err
	}
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
		if r.Name == own || !r.Every || r.Disabled {
			continue
		}
		to := map[string]any{"receiver": r.Name, "group_by": []string{"incident"}, "continue": true}
		if len(r.Tenants) > 0 {
			quoted := make([]string, 0, len(r.Tenants))
			for _, t := range r.Tenants {
				if within.CoversTenant(t) {
					quoted = append(quoted, regexp.QuoteMeta(t))
				}
			}
			to["matchers"] = []string{fmt.Sprintf("tenant=~%q", strings.Join(quoted, "|"))}
		}
		cfg.Route.Routes = append(cfg.Route.Routes, to)
	}
	if s.Routes != nil {
		scopes := slices.DeleteFunc(s.Routes.Scopes(), func(scope string) bool {
			return scope == "" && !within.Everything() || scope != "" && !within.CoversWhole(scope)
		})
		trees := s.Routes.Config(scopes, own)
		cfg.Route.Routes, cfg.Intervals = append(cfg.Route.Routes, trees.Routes...), trees.Intervals
		names = append(names, trees.Receivers...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name != own {
			cfg.Receivers = append(cfg.Receivers, receiverConfig{name})
		}
	}
	return cfg, nil
}
