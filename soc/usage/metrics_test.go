package usage

import (
	"context"
	"errors"
	"testing"

	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// taken counts samples.
type taken struct{ samples int }

func (t *taken) Append(_ context.Context, _ string, series []metrics.Series) error {
	t.samples += metrics.Count(series)
	return nil
}

func TestSamplesCountWithTheirBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t, NoQuota)
	ctx := t.Context()
	one := []metrics.Series{{Labels: []metrics.Label{{Name: metrics.LabelName, Value: "up"}}, Samples: make([]metrics.Sample, 100)}}
	size := uint64(one[0].Size())
	if err := b.ledger.SetQuota(ctx, "tax", &Quota{BytesPerDay: int64(size) + 1, WarnPercent: 80, AtLimit: Refuse}); err != nil {
		t.Fatal(err)
	}
	next := &taken{}
	in := b.gate.Metrics(next)
	for range 2 { // the second begins below the limit and is taken whole
		if err := in.Append(ctx, "tax", one); err != nil {
			t.Fatal(err)
		}
	}
	var over *intake.OverQuota
	if err := in.Append(ctx, "tax", one); !errors.As(err, &over) || over.Tenant != "tax" {
		t.Errorf("over the quota: %v", err)
	}
	if err := in.Append(ctx, "", one); !errors.Is(err, metrics.ErrNoTenant) {
		t.Errorf("for nobody: %v", err)
	}
	if s := b.gate.Standing("tax"); s.Bytes != 2*size || s.Events != 0 || s.RefusedBytes != size || next.samples != 200 {
		t.Errorf("%+v, %d samples", s, next.samples)
	}
}
