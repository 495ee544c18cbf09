//go:build !linux

package inputs

import "time"

// threadTime is not known: what gathering takes of the processor is told on Linux alone.
func threadTime() time.Duration { return 0 }
