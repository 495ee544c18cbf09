package intake

import (
	"fmt"
	"time"
)

// OverQuota says that a tenant has brought what it may today, and that nothing
// more of it is taken before Until. A sender that can wait may send again then;
// nothing of the call that it answers was stored.
type OverQuota struct {
	Tenant string
	Limit  string    // what was reached, such as "1000 events a day"
	Until  time.Time // the next midnight of the city
}

// Error implements error.
func (e *OverQuota) Error() string {
	return fmt.Sprintf("the daily quota of the tenant %s (%s) is used up; nothing more is taken before %s", e.Tenant, e.Limit, e.Until.Format(time.RFC3339))
}

// RetryAfter is the number of seconds until the quota is free again, at least
// one, as the header of that name gives it.
func (e *OverQuota) RetryAfter(now time.Time) int {
	return max(1, int((e.Until.Sub(now)+time.Second-1)/time.Second))
}
