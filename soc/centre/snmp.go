package centre

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"icewatch/collectors"
	"icewatch/collectors/places"
	"icewatch/collectors/snmptrap"
)

// trapSource makes the listener of SNMP notifications, where there is one.
func (c *centre) trapSource(out *[]collectors.Collector, deps collectors.Deps) error {
	s := c.Config.SNMP
	if !on(s.Traps) {
		return nil
	}
	secret := func(path string) (string, error) {
		if path == "" {
			return "", nil
		}
		text, err := os.ReadFile(path)
		return string(text), err
	}
	communities, err := secret(s.CommunitiesFile)
	if err != nil {
		return fmt.Errorf("configuration: snmp.communities_file: %w", err)
	}
	users, err := secret(s.UsersFile)
	if err != nil {
		return fmt.Errorf("configuration: snmp.users_file: %w", err)
	}
	modules, err := mibTexts(s.MIBDir)
	if err != nil {
		return fmt.Errorf("configuration: snmp.mib_dir: %w", err)
	}
	dir := filepath.Join(c.Config.Data, "places")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("places of sources: %w", err)
	}
	deps.Places = places.Dir(dir)
	return add(c, out, deps, snmptrap.Kind, func(cfg *snmptrap.Config) {
		cfg.Listen, cfg.Tenant, cfg.Zone = s.Traps, s.Tenant, s.Zone
		cfg.Communities, cfg.Users, cfg.Sources, cfg.MIBs = communities, users, s.Sources, modules
	})
}

// mibTexts reads the files of a folder, in the order of their names.
func mibTexts(dir string) (texts []string, err error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}
