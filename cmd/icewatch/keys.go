package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"icewatch/soc/centre"
	"icewatch/soc/config"
	"icewatch/soc/seal"
)

type keys struct {
	List    listKeys    `cmd:"" help:"List the master keys and how many secrets each seals."`
	Rotate  rotateKeys  `cmd:"" help:"Make a new master key and seal every secret anew with it; a running suite does it itself."`
	DropOld dropOldKeys `cmd:"" help:"Remove all keys but the newest, once no secret is sealed with them. Older backups then no longer open."`
}

type listKeys struct{ options }

// Run lists the keys of the data folder.
func (k *listKeys) Run(ctx context.Context) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	return centre.Keys(ctx, cfg, func(b *seal.Box) error { return printKeys(ctx, b) })
}

type rotateKeys struct{ options }

// Run rotates the keys of the data folder.
func (k *rotateKeys) Run(ctx context.Context) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	err = centre.Keys(ctx, cfg, func(b *seal.Box) error {
		if err := b.Rotate(ctx); err != nil {
			return err
		}
		return printKeys(ctx, b)
	})
	if errors.Is(err, centre.ErrRunning) {
		return rotateRunning(ctx, cfg)
	}
	return err
}

// rotateRunning asks the suite that runs on the data folder, over the socket
// that only its own account can use.
func rotateRunning(ctx context.Context, cfg *config.Config) error {
	socket := filepath.Join(cfg.Data, "run", "icewatch.sock")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://icewatch/api/v1/keys/rotate", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the suite runs on %s and does not answer on its socket: %w", cfg.Data, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the suite running on %s answered %s; its log says why", cfg.Data, resp.Status)
	}
	fmt.Println("the running suite made a new master key and sealed every secret anew with it")
	return nil
}

type dropOldKeys struct{ options }

// Run drops the older keys of the data folder.
func (k *dropOldKeys) Run(ctx context.Context) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	err = centre.Keys(ctx, cfg, func(b *seal.Box) error {
		n, err := b.DropOld(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%d older keys are gone from %s\n", n, cfg.KeyFile())
		return nil
	})
	if errors.Is(err, centre.ErrRunning) {
		return fmt.Errorf("%w: stop it first, old keys are dropped while nothing uses them", err)
	}
	return err
}

func printKeys(ctx context.Context, b *seal.Box) error {
	list, err := b.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range list {
		n := 0
		for _, m := range k.Sealed {
			n += m
		}
		mark := ""
		if k.Current {
			mark = "  current"
		}
		fmt.Fprintf(os.Stdout, "%s  made %s  seals %d secrets%s\n", k.ID, k.Created.Format("2006-01-02 15:04 MST"), n, mark)
	}
	return nil
}
