// Package rules embeds the suite's own detection content: Sigma rules,
// correlations, Rego policies, the logsource table and the pipelines that bring
// rules in native field names to the events. It is content, kept as
// detection-as-code with its tests beside it; the engines live in detections.
package rules

import (
	"embed"
	"io/fs"
)

// FS holds the content at its path inside this folder.
//
//go:embed policy sigma correlation scenarios pipelines schema baselines logsources.yml taxonomy.yml stories.test.yml
var FS embed.FS

// Foundation is the part that holds without any rule of ours: the policies, by
// which alerts get priorities and incidents open, the table of log
// sources, the pipelines and the taxonomy, by which alerts are classed.
//
//go:embed policy/*.rego pipelines logsources.yml taxonomy.yml
var Foundation embed.FS

//go:embed parsers
var parsers embed.FS

// Parsers returns the parser packs, each in <vendor>/<product>: what the suite
// knows of the logs of products (soc/pipeline/pack).
func Parsers() fs.FS {
	sub, err := fs.Sub(parsers, "parsers")
	if err != nil {
		panic(err) // The name is a constant and valid.
	}
	return sub
}
