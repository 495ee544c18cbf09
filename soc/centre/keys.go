package centre

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"icewatch/collectors/fleet"
	"icewatch/soc/audit"
	"icewatch/soc/config"
	"icewatch/soc/exposure/credential"
	"icewatch/soc/forwarding"
	"icewatch/soc/identity"
	"icewatch/soc/identity/federation"
	"icewatch/soc/identity/provider"
	"icewatch/soc/inputs"
	"icewatch/soc/masking"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/source"
	"icewatch/ticketing/workorder"
)

// sealed lists all places where the rooms keep sealed secrets, in the data
// folder given. The box refuses to seal for a kind that is not here.
func sealed(data string) []seal.Place {
	return slices.Concat(
		[]seal.Place{audit.Sealed(auditDir(data))},
		outbox.Sealed(),
		duty.Sealed(),
		provider.Sealed(),
		identity.Sealed(),
		federation.Sealed(),
		masking.Sealed(),
		forwarding.Sealed(),
		inputs.Sealed(),
		fleet.Sealed(),
		credential.Sealed(),
		source.Sealed(),
		workorder.Sealed(),
	)
}

// Keys opens the master keys of a data folder on which no suite runs, hands
// them to f and closes them again. Where one runs it is ErrRunning.
func Keys(ctx context.Context, cfg *config.Config, f func(*seal.Box) error) (err error) {
	if err := hasState(cfg); err != nil {
		return err
	}
	lock, err := lockFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, err := state.Open(ctx, filepath.Join(cfg.Data, "state", "icewatch.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	box, err := seal.Open(ctx, db, cfg.KeyFile(), sealed(cfg.Data)...)
	if err != nil {
		return err
	}
	return f(box)
}

// hasState refuses a data folder that no suite has used.
func hasState(cfg *config.Config) error {
	if _, err := os.Stat(filepath.Join(cfg.Data, "state", "icewatch.db")); err != nil {
		return fmt.Errorf("there is no data to work on: %w", err)
	}
	return nil
}
