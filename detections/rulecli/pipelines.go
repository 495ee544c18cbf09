package rulecli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"icewatch/detections/pipeline"
	"icewatch/detections/sigma"
	"icewatch/rules"
)

// readPipelines reads the pipelines that --pipeline names: none of them for
// none, the suite's own for ecs, else the file of that name.
func readPipelines(names []string) ([]*pipeline.Pipeline, error) {
	var out []*pipeline.Pipeline
	for _, name := range names {
		switch name {
		case "none":
		case "ecs":
			files, err := fs.Glob(rules.FS, path.Join(pipeline.Folder, "*.yml"))
			if err != nil {
				return nil, fmt.Errorf("built-in pipelines: %w", err)
			}
			for _, file := range files {
				data, err := fs.ReadFile(rules.FS, file)
				if err != nil {
					return nil, fmt.Errorf("built-in pipelines: %w", err)
				}
				p, err := parsePipeline(path.Join(builtin, file), data)
				if err != nil {
					return nil, err
				}
				out = append(out, p)
			}
		default:
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("--pipeline is none, ecs or a file: %w", err)
			}
			p, err := parsePipeline(name, data)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func parsePipeline(name string, data []byte) (*pipeline.Pipeline, error) {
	p, err := pipeline.Parse(data)
	if err != nil {
		var at *sigma.Error
		if errors.As(err, &at) && at.Line > 0 {
			return nil, fmt.Errorf("pipeline %s:%d: %s", name, at.Line, at.Reason)
		}
		return nil, fmt.Errorf("pipeline %s: %w", name, err)
	}
	if p.Name == "" {
		p.Name = name
	}
	return p, nil
}
