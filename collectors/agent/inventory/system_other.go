//go:build !windows

package inventory

import (
	"context"

	"icewatch/collectors/fleet/wire"
)

func services(ctx context.Context) ([]wire.Service, error) { return unitStates(ctx) }

// registered are the programs of Windows' registry.
func registered() ([]wire.Installed, error) { return nil, errAbsent }

// accounts are those of this host.
func accounts() ([]wire.User, error) { return users("/") }
