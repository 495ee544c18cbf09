// Package rulecli is what stands behind `icectl rules`: lint, test and match
// for rule authors, on plain files and without a server.
package rulecli

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"icewatch/detections/logsource"
	"icewatch/detections/pipeline"
	"icewatch/detections/ruleset"
	"icewatch/detections/verdict"
	"icewatch/rules"
	"icewatch/soc/event"
)

// builtin names the suite's own content in paths.
const builtin = "builtin"

// load reads rule folders and files. The suite's own log-source table,
// pipelines and policies come first, so that a folder can extend or replace them; its own
// rules are only taken where no folder is given. A folder whose manifest says
// foundation brings these itself.
func load(paths []string) (*ruleset.Bundle, error) {
	own := ruleset.Load([]ruleset.Source{{Name: builtin, FS: rules.FS}})
	if len(paths) == 0 {
		return own, nil
	}
	b := &ruleset.Bundle{}
	founded, err := foundation(paths)
	if err != nil {
		return nil, err
	}
	for _, f := range own.Files {
		if founded {
			break
		}
		if strings.HasSuffix(f.Path, ".rego") || path.Base(f.Path) == logsource.FileName || path.Base(f.Path) == verdict.FileName || path.Base(path.Dir(f.Path)) == pipeline.Folder {
			b.Files = append(b.Files, f)
		}
	}
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("rules %s: %w", p, err)
		}
		name := filepath.ToSlash(filepath.Clean(p))
		if st.IsDir() {
			more := ruleset.Load([]ruleset.Source{{Name: name, FS: os.DirFS(p)}})
			b.Files = append(b.Files, more.Files...)
			b.Problems = append(b.Problems, more.Problems...)
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("rules %s: %w", p, err)
		}
		b.Files = append(b.Files, ruleset.File{Source: name, Path: name, Data: data})
	}
	return b, nil
}

// ownNames are the ids and names of the suite's own rules: the filters of a
// folder may be for them.
func ownNames() map[string]bool {
	own := ruleset.Load([]ruleset.Source{{Name: builtin, FS: rules.FS}})
	set, _ := ruleset.CompileWith(own, event.NewRegistry(0), ruleset.Options{FaultsOnly: true})
	names := map[string]bool{}
	for _, r := range set.Rules() {
		names[r.ID], names[r.Name] = true, true
	}
	return names
}
