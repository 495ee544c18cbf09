package tenancy

import (
	"fmt"
	"time"
)

// Rules are what the operators decide about tenants while the suite runs.
type Rules struct {
	RestoreDays int `json:"restore_days" doc:"How long a removed tenant can be restored. Its data stays until retention takes it, whatever this is"`
}

// DefaultRules leave a month to think again.
var DefaultRules = Rules{RestoreDays: 30}

// Check says what is wrong with the rules.
func (r Rules) Check() error {
	if r.RestoreDays < 0 || r.RestoreDays > 3650 {
		return fmt.Errorf("restore_days: %d: 0 to 3650 is expected", r.RestoreDays)
	}
	return nil
}

// RestoreWithin is RestoreDays as a length of time.
func (r Rules) RestoreWithin() time.Duration { return time.Duration(r.RestoreDays) * 24 * time.Hour }
