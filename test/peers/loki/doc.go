//go:build peers

// Package loki pins what the real Loki and logcli are built from, apart from
// the suite's own modules: their dependencies do not agree with ours.
package loki

import (
	_ "github.com/grafana/loki/v3/cmd/logcli"
	_ "github.com/grafana/loki/v3/cmd/loki"
)
