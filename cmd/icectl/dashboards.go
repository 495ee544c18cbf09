package main

import (
	"fmt"

	"icewatch/dashboards/grafana"
)

type dashboardsCmd struct {
	Export dashboardsExportCmd `cmd:"" help:"Write Grafana's dashboards (Chinese and English) and its provisioning into a folder, without a server."`
}

type dashboardsExportCmd struct {
	Dir string `arg:"" help:"Folder to write into; it is made where it is not there." type:"path"`
}

// Run writes the files and says how many.
func (c *dashboardsExportCmd) Run(a *app) error {
	n, err := grafana.Export(c.Dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%d files in %s\n", n, c.Dir)
	return err
}
