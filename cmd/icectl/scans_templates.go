package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
)

type scansTemplatesCmd struct {
	Name string `arg:"" help:"Of the package; it takes the place of the former one of that name."`
	File string `arg:"" type:"existingfile" help:"The package, such as templates.tar.gz."`
	Note string `help:"What it is."`
}

// Run uploads a package of templates.
func (s *scansTemplatesCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	f, err := os.Open(s.File)
	if err != nil {
		return err
	}
	defer f.Close()
	var out struct {
		SHA256 string
		Count  int
	}
	if err := c.Send(a.ctx, http.MethodPost, "/api/v1/scan-templates", url.Values{"name": {s.Name}, "note": {s.Note}}, http.Header{"Content-Type": {"application/octet-stream"}}, f, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%s\t%d templates\t%s\n", s.Name, out.Count, out.SHA256)
	return err
}
