package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

type vulnerabilitiesCmd struct {
	Import vulnerabilitiesImportCmd `cmd:"" help:"Import files of vulnerabilities into the library, offline."`
	Show   vulnerabilitiesShowCmd   `cmd:"" help:"Print all that the library knows of a vulnerability, as JSON."`
}

type vulnerabilitiesImportCmd struct {
	Files  []string      `arg:"" help:"NVD JSON 2.0, CNNVD or CNVD XML, OSV, CSAF 2.0, EPSS CSV, KEV JSON or Debian tracker JSON; plain, gzip or ZIP." type:"existingfile"`
	Format string        `help:"Of the files, where it is not found out by the content: nvd, cnnvd, osv, csaf, epss, kev or debian." placeholder:"FORMAT"`
	Resume string        `help:"Id of an upload that was interrupted: go on with it." placeholder:"ID"`
	Detach bool          `help:"Upload, and do not wait for the import."`
	Poll   time.Duration `hidden:"" default:"1s"`
}

// Help is shown below the flags.
func (vulnerabilitiesImportCmd) Help() string {
	return `A file is checked as a whole before anything of it is imported; a broken one imports nothing, and the error says where it is broken.

Examples:
  icectl vulnerabilities import nvdcve-2.0-2024.json.gz
  icectl vulnerabilities import epss_scores-current.csv.gz known_exploited_vulnerabilities.json
  icectl vulnerabilities import --resume 7QX3… nvdcve-2.0-2024.json.gz`
}

// vulnerabilityImport is an import as the server shows it.
type vulnerabilityImport struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Error    string `json:"error"`
	Size     int64  `json:"size"`
	Received int64  `json:"received"`
	Checked  int    `json:"checked"`
	Written  int    `json:"written"`
	Added    int    `json:"added"`
}

const importPiece = 8 << 20

// Run uploads the files one after the other and waits for their imports.
func (v *vulnerabilitiesImportCmd) Run(a *app) error {
	if v.Resume != "" && len(v.Files) != 1 {
		return errors.New("--resume goes on with one file: give that one alone")
	}
	for _, name := range v.Files {
		if err := v.one(a, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (v *vulnerabilitiesImportCmd) one(a *app, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	const path = "/api/v1/vulnerability-imports"
	var at vulnerabilityImport
	if v.Resume != "" {
		if err := c.Get(a.ctx, path+"/"+url.PathEscape(v.Resume), nil, &at); err != nil {
			return err
		}
		if at.Size != st.Size() {
			return fmt.Errorf("the upload %s is of a file of %d bytes, and this one has %d", v.Resume, at.Size, st.Size())
		}
	} else {
		in := map[string]any{"name": filepath.Base(name), "size": st.Size()}
		if v.Format != "" {
			in["format"] = v.Format
		}
		if err := c.JSON(a.ctx, http.MethodPost, path, nil, in, &at); err != nil {
			return err
		}
	}
	id := at.ID
	piece := make([]byte, importPiece)
	for at.State == "uploading" {
		n, err := f.ReadAt(piece, at.Received)
		if n == 0 {
			return fmt.Errorf("read at byte %d: %w", at.Received, err)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		q := url.Values{"offset": {strconv.FormatInt(at.Received, 10)}}
		if err := c.Send(a.ctx, http.MethodPut, path+"/"+url.PathEscape(id)+"/content", q, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(piece[:n]), &at); err != nil {
			return fmt.Errorf("%w\nThe upload can be gone on with: --resume %s", err, id)
		}
		fmt.Fprintf(a.stderr, "\r%s: uploaded %d of %d MiB", plain(filepath.Base(name)), at.Received>>20, at.Size>>20)
	}
	fmt.Fprintln(a.stderr)
	for !v.Detach {
		switch at.State {
		case "done":
			if a.cli.Output == "json" {
				object, err := json.Marshal(at)
				if err != nil {
					return err
				}
				return a.printLine(object)
			}
			_, err := fmt.Fprintf(a.stdout, "%s: %d vulnerabilities, %d of them new\n", plain(filepath.Base(name)), at.Written, at.Added)
			return err
		case "failed":
			return errors.New(at.Error)
		case "cancelled":
			return errors.New("the import was cancelled")
		}
		select {
		case <-time.After(v.Poll):
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
		if err := c.Get(a.ctx, path+"/"+url.PathEscape(id), nil, &at); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "\r%s: checked %d, written %d", at.State, at.Checked, at.Written)
	}
	_, err = fmt.Fprintln(a.stdout, id)
	return err
}

type vulnerabilitiesShowCmd struct {
	ID string `arg:"" help:"A CVE, CNNVD, CNVD, GHSA or other id."`
}

// Run prints a vulnerability.
func (v *vulnerabilitiesShowCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, "/api/v1/vulnerabilities/"+url.PathEscape(v.ID), nil, &raw); err != nil {
		return err
	}
	return a.printLine(raw)
}
