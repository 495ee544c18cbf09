package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/release"
	"icewatch/soc/identity"
)

// maxUpgrade is the largest upgrade package, and the largest archive of packages, that the API
// takes: the agent with all its inputs is somewhat over 100 MB, a quarter of that compressed.
const maxUpgrade = 192 << 20

const fleetPackages = "/fleet/packages"

// FleetPackageUpload says what an uploaded package is. It is exported because inputs embed it.
type FleetPackageUpload struct {
	Version string `query:"version" maxLength:"64" doc:"Read from the file where it is absent; one that the file contradicts is refused"`
	Note    string `query:"note" maxLength:"2000"`
	RawBody []byte `contentType:"application/octet-stream"`
}

func (s *Server) fleetPackageRoutes() {
	room := s.deps.Fleet
	Register(s, fleetOperation("list-fleet-packages", http.MethodGet, "/packages", "Upgrade packages of the agent, with what their files say, their signatures and how many hosts run them"), identity.ScopeRead,
		func(ctx context.Context, in *PageInput) (*Body[Page[fleet.UpgradeView]], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return pageFrom(room.Packages(a), *in)
		})
	Register(s, fleetOperation("get-fleet-package", http.MethodGet, "/packages/{id}", "An upgrade package by its SHA-256: what is in it, and whether the file is still the one that was signed", 404, 409), identity.ScopeRead,
		func(ctx context.Context, in *ByID) (*Body[fleet.UpgradeDetail], error) {
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			return ofFleet(room.PackageDetail(a, in.ID))
		})
	add := fleetOperation("add-fleet-package", http.MethodPost, "/packages", "Upload the agent's executable of a version; platform, version and build are read from the file, and it is signed", 409, 413, 422)
	add.MaxBodyBytes, add.DefaultStatus, add.BodyReadTimeout = maxUpgrade, http.StatusCreated, 10*time.Minute
	Register(s, add, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ FleetPackageUpload }) (*Body[fleet.UpgradeView], error) {
			AuditObject(ctx, "fleet-package", "", clip(in.Version, 64))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			u, err := room.AddPackage(ctx, a, in.Version, in.Note, bytes.NewReader(in.RawBody))
			if errors.Is(err, release.ErrTooLarge) {
				return nil, Problem(http.StatusRequestEntityTooLarge, "%s", release.ErrTooLarge)
			}
			if err == nil {
				AuditObject(ctx, "fleet-package:"+u.SHA256, "", u.Version+" "+u.OS+"/"+u.Arch)
			}
			return ofFleet(u, err)
		})
	many := fleetOperation("add-fleet-packages", http.MethodPost, "/packages/batch", "Upload several packages in one archive (tar.gz or zip); each is taken or refused for itself", 413, 422)
	many.MaxBodyBytes, many.BodyReadTimeout = maxUpgrade, 10*time.Minute
	Register(s, many, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ FleetPackageUpload }) (*Body[Page[fleet.UpgradeResult]], error) {
			AuditObject(ctx, "fleet-package", "", clip(in.Version, 64))
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			list, err := room.AddPackages(ctx, a, in.Version, in.Note, in.RawBody)
			taken := []string{}
			for _, x := range list {
				if x.OK {
					taken = append(taken, x.Package.Version+" "+x.Package.OS+"/"+x.Package.Arch)
				}
			}
			AuditObject(ctx, "fleet-package", "", fmt.Sprintf("%d of %d taken", len(taken), len(list)))
			if len(taken) > 0 {
				AuditChange(ctx, nil, taken)
			}
			return ofFleet(PageOf(list, len(list), ""), err)
		})
	remove := fleetOperation("delete-fleet-package", http.MethodDelete, "/packages/{id}", "Delete an upgrade package by its SHA-256", 404)
	remove.DefaultStatus = http.StatusNoContent
	Register(s, remove, identity.ScopeConfigure,
		func(ctx context.Context, in *ByID) (*struct{}, error) {
			AuditObject(ctx, "fleet-package:"+clip(in.ID, 64), "", "")
			a, err := fleetAsker(ctx)
			if err != nil {
				return nil, err
			}
			u, err := room.DeletePackage(ctx, a, in.ID)
			if err == nil {
				AuditObject(ctx, "fleet-package:"+u.SHA256, "", u.Version+" "+u.OS+"/"+u.Arch)
			}
			return nil, fleetProblem(err)
		})
}
