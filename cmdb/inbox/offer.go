package inbox

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
)

// Offered is an address that something else than events saw, such as a scan.
type Offered struct {
	Address, Host string
	Ports         []int // that it listens at
	At            time.Time
}

// Offer puts addresses that the caller knows to be no items of the CMDB among the
// candidates. source says what saw them. It answers how many were taken: none beyond
// the bound on candidates that wait.
func (b *Inbox) Offer(ctx context.Context, tenant, zone, source string, list []Offered) (int, error) {
	now := b.deps.Now().UTC()
	seen := make([]*sighting, 0, len(list))
	for _, o := range list {
		addr, err := netip.ParseAddr(o.Address)
		if err != nil {
			return 0, fmt.Errorf("%w: %q is no IP address", ErrInvalid, o.Address)
		}
		at := o.At
		if at.IsZero() || at.After(now) {
			at = now
		}
		s := &sighting{tenant: tenant, zone: cmp.Or(zone, cmdb.DefaultZone), kind: Address, value: addr.Unmap().String(), other: o.Host, first: at, last: at, sources: []string{source}}
		for _, p := range o.Ports {
			if len(s.ports) < maxList {
				s.ports = append(s.ports, strconv.Itoa(p))
			}
		}
		seen = append(seen, s)
	}
	full := false
	err := b.db.Change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		full, err = b.note(ctx, tx, seen, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("inbox: note what was offered: %w", err)
	}
	if full {
		return 0, fmt.Errorf("inbox: %d candidates wait already: decide on those first", maxWaiting)
	}
	return len(seen), nil
}
