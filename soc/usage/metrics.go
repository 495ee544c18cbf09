package usage

import (
	"context"
	"time"

	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// Metrics is a sink for samples before next. They count with their bytes
// (metrics.Series.Size) against the quota of their tenant, which has no figure
// for samples; what is over a quota that says refuse is refused with an
// *intake.OverQuota.
func (g *Gate) Metrics(next metrics.Sink) metrics.Sink { return metricFace{g, next} }

type metricFace struct {
	gate *Gate
	next metrics.Sink
}

// Append implements metrics.Sink.
func (f metricFace) Append(ctx context.Context, tenant string, series []metrics.Series) error {
	if tenant == "" {
		return metrics.ErrNoTenant
	}
	d := f.gate.today()
	size := uint64(0)
	for i := range series {
		size += uint64(series[i].Size())
	}
	a := d.account(tenant)
	if q, _ := f.gate.ledger.Quota(tenant); q.AtLimit == Refuse && q.Limited() {
		if limit := q.reached(a.figure()); limit != "" {
			a.refuse(0, size)
			return &intake.OverQuota{Tenant: tenant, Limit: limit, Until: time.Unix(0, d.to).In(f.gate.ledger.zone)}
		}
	}
	if err := f.next.Append(ctx, tenant, series); err != nil {
		return err
	}
	a.bytes.Add(size)
	return nil
}
