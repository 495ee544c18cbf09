package api

import (
	"bytes"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/dashboards/grafana"
	"icewatch/soc/identity"
)

// registerGrafana offers Grafana's dashboards to whoever has no icectl at hand.
// They hold queries and no data, so any reader may have them.
func (s *Server) registerGrafana() {
	Register(s, huma.Operation{OperationID: "download-grafana-dashboards", Method: http.MethodGet, Path: "/dashboards/grafana", Tags: []string{"catalogue"},
		Summary:   "Grafana's dashboards in Chinese and English, with provisioning of data sources, as a ZIP archive (docs/grafana.md)",
		Responses: anyFile("application/zip")}, identity.ScopeRead,
		func(context.Context, *Empty) (*huma.StreamResponse, error) {
			var b bytes.Buffer
			if err := grafana.Zip(&b); err != nil {
				return nil, err
			}
			return attachment("application/zip", "icewatch-grafana.zip", b.Bytes()), nil
		})
}
