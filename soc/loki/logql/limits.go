// Package logql answers LogQL with Grafana Loki's own engine over the lake:
// what the engine asks for becomes LogsQL where that means exactly the same, and
// runs through Loki's own pipeline stages where it does not.
package logql

import (
	"context"
	"time"

	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/util/validation"
)

// Limits bound what one query may cost.
type Limits struct {
	Entries int           // lines of an answer; 0 is 5,000, as with Loki
	Series  int           // series of an answer; 0 is 2,000
	Range   time.Duration // of one [range] and of start to end; 0 is 721 h, as with Loki
	Timeout time.Duration // of one query; 0 is a minute
	Scanned int           // rows that one query may read where the lake cannot count them itself; 0 is 5,000,000
}

// Fill replaces zeros by the defaults.
func (l *Limits) Fill() {
	if l.Entries <= 0 {
		l.Entries = 5_000
	}
	if l.Series <= 0 {
		l.Series = 2_000
	}
	if l.Range <= 0 {
		l.Range = 721 * time.Hour
	}
	if l.Timeout <= 0 {
		l.Timeout = time.Minute
	}
	if l.Scanned <= 0 {
		l.Scanned = 5_000_000
	}
}

// engineLimits are the limits as Loki's engine asks for them, the same for all.
type engineLimits struct{ Limits }

var _ logql.Limits = engineLimits{}

// MaxQuerySeries bounds the series of an answer.
func (l engineLimits) MaxQuerySeries(context.Context, string) int { return l.Series }

// MaxQueryRange bounds the range of a range vector.
func (l engineLimits) MaxQueryRange(context.Context, string) time.Duration { return l.Range }

// QueryTimeout bounds a query.
func (l engineLimits) QueryTimeout(context.Context, string) time.Duration { return l.Timeout }

// BlockedQueries are none: who may ask what is decided before.
func (l engineLimits) BlockedQueries(context.Context, string) []*validation.BlockedQuery { return nil }

// EnableMultiVariantQueries leaves Loki's experimental variants switched off, as
// Loki does.
func (l engineLimits) EnableMultiVariantQueries(string) bool { return false }

// MaxScanTaskParallelism is of Loki's second engine, which is not used.
func (l engineLimits) MaxScanTaskParallelism(string) int { return 0 }

// DebugEngineTasks is of Loki's second engine, which is not used.
func (l engineLimits) DebugEngineTasks(string) bool { return false }

// DebugEngineStreams is of Loki's second engine, which is not used.
func (l engineLimits) DebugEngineStreams(string) bool { return false }
