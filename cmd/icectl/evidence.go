package main

import (
	"fmt"
	"os"

	"icewatch/ticketing/evidence"
)

type evidenceCmd struct {
	Verify evidenceVerifyCmd `cmd:"" help:"Verify a sealed archive of an incident, without asking any server."`
}

type evidenceVerifyCmd struct {
	File string `arg:"" help:"The archive." type:"existingfile"`
	Key  string `help:"Id of the key that must have signed it, as icectl audit verify shows it." placeholder:"ID"`
}

// Help is shown below the flags.
func (evidenceVerifyCmd) Help() string {
	return `Checked are the signature over the manifest, every file against the manifest, the chain of custody, and that
each piece of evidence is what was added. All faults are named, and the exit code is 1. That the archive was not
changed since a key signed it, it proves by itself; whose key that is, it cannot: give its id with --key.

Examples:
  icectl evidence verify icewatch-INC-20261126-0001-20261126T080000Z.zip --key 4a6df3be03756a40`
}

// Run verifies and prints what was found.
func (v *evidenceVerifyCmd) Run(a *app) error {
	f, err := os.Open(v.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, err := evidence.Verify(f, info.Size(), v.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	if a.cli.Output == "json" {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := v.print(a, &r); err != nil {
		return err
	}
	if len(r.Faults) > 0 {
		return findings(len(r.Faults))
	}
	return nil
}

func (v *evidenceVerifyCmd) print(a *app, r *evidence.Report) error {
	if len(r.Faults) > 0 {
		fmt.Fprintf(a.stdout, "%s: BROKEN\n", v.File)
		for _, f := range r.Faults {
			if _, err := fmt.Fprintf(a.stdout, "  %s\n", plain(f)); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%s: whole\n  incident  %s of %s\n  sealed    %s by %s, with the key %s\n  files     %d, %d bytes\n  custody   %d entries, head %s\n",
		v.File, plain(r.Incident), plain(r.Tenant), when(r.SignedAt), plain(r.MadeBy), r.Key, len(r.Files), r.Bytes, r.Custody.Entries, r.Custody.Hash)
	return err
}
