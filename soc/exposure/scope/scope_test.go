package scope

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/reach"
)

func TestTwoPersonsApprove(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		ctx := context.Background()
		at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
		s, err := Open(ctx, c.Database(), func() time.Time { return at })
		if err != nil {
			t.Fatal(err)
		}
		d := ScanRangeDraft{Tenant: "a", CIDR: "10.1.0.0/16", Exclusions: []string{"10.1.9.0/24"}, Reason: "yearly check", Days: 30}
		if _, err := s.Ask(ctx, reach.Tenants("b"), "wang", d); !errors.Is(err, ErrForbidden) {
			t.Errorf("another tenant's range: %v", err)
		}
		for _, bad := range []ScanRangeDraft{{CIDR: "10.1.0.1/16"}, {CIDR: "0.0.0.0/0"}, {CIDR: "2001:db8::/16"}, {CIDR: "224.0.0.0/24"}, {CIDR: "x"}, {CIDR: "::ffff:10.0.0.0/112"}, {CIDR: "10.1.0.0/16", Exclusions: []string{"10.2.0.0/24"}}, {CIDR: "10.1.0.0/16", Exclusions: []string{"10.0.0.0/8"}}} {
			bad.Tenant, bad.Reason, bad.Days = "a", "x", 1
			if _, err := s.Ask(ctx, reach.All(), "wang", bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		x, err := s.Ask(ctx, reach.Tenants("a"), "wang", d)
		if err != nil {
			t.Fatal(err)
		}
		inside, excluded := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.9.1")
		if s.Of("a", "").Allows(inside) {
			t.Error("what nobody approved may be scanned")
		}
		if _, err := s.Decide(ctx, reach.Tenants("a"), "wang", x.ID, true, ""); !errors.Is(err, ErrForbidden) {
			t.Errorf("approved by who asked: %v", err)
		}
		if _, err := s.Decide(ctx, reach.Tenants("b"), "li", x.ID, true, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("approved out of reach: %v", err)
		}
		if _, err := s.Decide(ctx, reach.Tenants("a"), "li", x.ID, true, "agreed with the operator"); err != nil {
			t.Fatal(err)
		}
		// Kept: as after a restart.
		if s, err = Open(ctx, c.Database(), func() time.Time { return at }); err != nil {
			t.Fatal(err)
		}
		g := s.Of("a", "")
		if !g.Allows(inside) || g.Allows(excluded) || g.Allows(netip.MustParseAddr("10.2.0.1")) || g.ApprovedBy != "li" || !g.Covers(netip.MustParsePrefix("10.1.8.0/22")) || g.Covers(netip.MustParsePrefix("10.0.0.0/8")) {
			t.Errorf("%+v", g)
		}
		if s.Of("b", "").Allows(inside) || s.Of("a", "dmz").Allows(inside) {
			t.Error("a range holds for another tenant or zone")
		}
		// A later range does not open what an earlier one excludes.
		y, err := s.Ask(ctx, reach.All(), "wang", ScanRangeDraft{Tenant: "a", CIDR: "10.1.9.1", Reason: "x", Days: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Decide(ctx, reach.All(), "li", y.ID, true, ""); err != nil || s.Of("a", "").Allows(excluded) {
			t.Error("an exclusion was opened", err)
		}
		if at = at.Add(31 * 24 * time.Hour); s.Of("a", "").Allows(inside) || s.List(reach.All())[1].State != Expired || len(s.List(reach.Tenants("b"))) != 0 {
			t.Errorf("expired: %+v", s.List(reach.All()))
		}
		at = at.Add(-30 * 24 * time.Hour)
		if _, err := s.Withdraw(ctx, reach.All(), "zhang", x.ID, "over"); err != nil || s.Of("a", "").Allows(inside) {
			t.Error("a withdrawn range may be scanned", err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "fe80::1%eth0", "::ffff:1.2.3.4", "1.2.3.4/33"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(p.String()); err != nil || again != p {
			t.Fatalf("%q is %s, which is %s, %v", s, p, again, err)
		}
	})
}
