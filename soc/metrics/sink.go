package metrics

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
)

// Sink takes in samples that come from outside. Whoever brings them screens
// them first (Limits.Screen), so that a sender learns by name what is refused.
type Sink interface {
	// Append makes series of the tenant with the slug durable; nil means that
	// they are on the disk, and will be in the store soon. Other errors are
	// *intake.OverQuota, intake.ErrFull where they may be sent again later, and
	// ErrNoTenant.
	Append(ctx context.Context, tenant string, series []Series) error
}

// ErrNoTenant says that samples belong to nobody: unlike events they have no
// address or host name by which an owner could be found.
var ErrNoTenant = errors.New("samples are for one tenant, and the request names none that there is: use a token of a tenant, or name its slug in the header X-Scope-OrgID")

// Portion is series of one tenant as they wait on the bus.
type Portion struct {
	Tenant Tenant
	Series []Series
}

// MaxCut bounds the samples of one series in a Portion.
const MaxCut = 4096

// Cut parts series so that no part is much larger than target bytes on the bus:
// a long series becomes several with the same labels.
func Cut(series []Series, target int) [][]Series {
	var out [][]Series
	var part []Series
	size := 0
	for _, s := range series {
		for samples := s.Samples; len(samples) > 0; {
			n := min(len(samples), MaxCut)
			one := Series{s.Labels, samples[:n]}
			if size > 0 && size+one.Size() > target {
				out, part, size = append(out, part), nil, 0
			}
			part, size = append(part, one), size+one.Size()
			samples = samples[n:]
		}
	}
	if len(part) > 0 {
		out = append(out, part)
	}
	return out
}

// Size is about how many bytes the series has on the bus before compression; it
// is what counts for the quota of its tenant.
func (s *Series) Size() int {
	n := 4 + 14*len(s.Samples)
	for _, l := range s.Labels {
		n += len(l.Name) + len(l.Value) + 6
	}
	return n
}

// Count is how many samples the series have.
func Count(series []Series) (n int) {
	for i := range series {
		n += len(series[i].Samples)
	}
	return n
}

// codecVersion begins every batch on the bus.
const codecVersion = 1

// maxBatch bounds what DecodeBatch unpacks, in bytes.
const maxBatch = 32 << 20

// AppendBatch appends the encoding of portions to dst: one version byte and an
// S2 block of the number of portions and, of each, its account, slug and
// series as a write request of remote write 1.0.
func AppendBatch(dst []byte, list []Portion) []byte {
	plain := binary.AppendUvarint(nil, uint64(len(list)))
	for _, p := range list {
		plain = binary.AppendUvarint(plain, uint64(p.Tenant.Account))
		plain = append(binary.AppendUvarint(plain, uint64(len(p.Tenant.Slug))), p.Tenant.Slug...)
		body := Encode(p.Series)
		plain = append(binary.AppendUvarint(plain, uint64(len(body))), body...)
	}
	head := len(dst) + 1
	dst = append(slices.Grow(dst, 1+s2.MaxEncodedLen(len(plain))), codecVersion)
	return dst[:head+len(s2.Encode(dst[head:cap(dst)], plain))]
}

// DecodeBatch reads what AppendBatch wrote; an error means that it did not.
func DecodeBatch(b []byte) ([]Portion, error) {
	if len(b) == 0 || b[0] != codecVersion {
		return nil, fmt.Errorf("metrics: not a batch of version %d", codecVersion)
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > maxBatch {
		return nil, fmt.Errorf("metrics: the batch unpacks to %d bytes (%v); %d is the most", n, err, maxBatch)
	}
	plain, err := s2.Decode(nil, b[1:])
	if err != nil {
		return nil, fmt.Errorf("metrics: the batch: %w", err)
	}
	short := errors.New("metrics: the batch ends too early")
	number := func() (n uint64) {
		v, size := binary.Uvarint(plain)
		if size <= 0 {
			err, plain = short, nil
			return 0
		}
		plain = plain[size:]
		return v
	}
	text := func() (t []byte) {
		n := number()
		if n > uint64(len(plain)) {
			err, plain = short, nil
			return nil
		}
		t, plain = plain[:n:n], plain[n:]
		return t
	}
	var list []Portion
	for count := number(); count > 0 && err == nil; count-- {
		p := Portion{Tenant: Tenant{Account: uint32(number()), Slug: string(text())}}
		body := text()
		if err != nil {
			break
		}
		if p.Series, err = decode(body); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if err == nil && len(plain) > 0 {
		err = fmt.Errorf("metrics: %d bytes follow the last portion of the batch", len(plain))
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Why samples are refused, as it is counted.
const (
	ReasonLabels = "labels" // too many, too long, given twice, not UTF-8, or no name
	ReasonTime   = "time"   // outside of what is kept
)

// Limits are what a store holds of a sender's series.
type Limits struct {
	Retention time.Duration // how far back a sample may be
}

// Screen parts series into those that a store takes and those that it refuses,
// with the same words. The series returned share their labels and samples with
// those given.
func (l Limits) Screen(series []Series, now time.Time) (good []Series, w Written) {
	good = make([]Series, 0, len(series))
	for i := range series {
		one := &series[i]
		if err := checkLabels(one.Labels); err != nil {
			w.refuse(one, ReasonLabels, len(one.Samples), "%v", err)
			continue
		}
		if samples := l.within(one, now, &w); len(samples) > 0 {
			good = append(good, Series{one.Labels, samples})
			w.Samples += len(samples)
		}
	}
	return good, w
}

// within are the samples of a series that are neither too old nor too far ahead.
func (l Limits) within(one *Series, now time.Time, w *Written) []Sample {
	oldest, newest := now.Add(-l.Retention).UnixMilli(), now.Add(FutureLimit).UnixMilli()
	outside := func(x Sample) bool { return x.Time < oldest || x.Time > newest }
	at := slices.IndexFunc(one.Samples, outside)
	if at < 0 {
		return one.Samples
	}
	kept := slices.DeleteFunc(slices.Clone(one.Samples), outside)
	w.refuse(one, ReasonTime, len(one.Samples)-len(kept), "the time %s is outside of what is kept: from %s ago to %s ahead",
		time.UnixMilli(one.Samples[at].Time).UTC().Format(time.RFC3339), l.Retention, FutureLimit)
	return kept
}

// refuse notes samples of a series that are not stored.
func (w *Written) refuse(one *Series, kind string, n int, format string, args ...any) {
	w.Dropped += n
	if w.Reasons == nil {
		w.Reasons = map[string]int{}
	}
	w.Reasons[kind] += n
	if len(w.Refused) < 100 {
		w.Refused = append(w.Refused, Refusal{Metric: cut(one.Name(), 200), Reason: fmt.Sprintf(format, args...)})
	}
}
