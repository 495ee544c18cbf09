package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet"
	pack "icewatch/collectors/fleet/extension/extensiontest"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// TestProfiles adds hosts by a profile: labels, group, configuration, plug-ins and templates are theirs at
// once, what a token says counts before it, and a template that changes later changes on them. It goes out and comes in as
// YAML, and stays in its tenant.
func TestProfiles(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx, admin := t.Context(), fleettest.Admin
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wrong := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	group, err := f.KeepGroup(ctx, admin, "", fleet.GroupDraft{Tenant: "egov", Name: "north"})
	must(err)
	c, err := f.KeepConfiguration(ctx, admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "base"})
	must(err)
	soak := 0
	_, err = f.Publish(ctx, admin, c.ID, fleet.Publication{AtOnce: true, Soak: &soak, Document: "inputs: [{plugin: mem}]\n"})
	must(err)
	_, err = f.AddExtension(ctx, admin, "", "", bytes.NewReader(pack.Script(t, "name: depth\nversion: 1.0.0\nformat: influx", "echo depth value=1")))
	must(err)

	draft := fleet.ProfileDraft{Tenant: "egov", Name: "web", Labels: []string{"role=web"}, Group: group.ID, Configuration: c.ID, Plugins: []string{"depth"}, Version: "9.9.9",
		Templates: []fleet.ProfileTemplate{{Template: "nginx", Params: map[string]string{}}, {Template: "mysql", Params: map[string]string{"password": "hunter2"}}}}
	for _, bad := range []struct {
		change func(*fleet.ProfileDraft)
		want   string
	}{
		{func(d *fleet.ProfileDraft) { d.Name = " web" }, "the name"},
		{func(d *fleet.ProfileDraft) { d.Tenant = "nobody" }, "no tenant"},
		{func(d *fleet.ProfileDraft) { d.Group = "x" }, "no group"},
		{func(d *fleet.ProfileDraft) { d.Configuration = "x" }, "no configuration"},
		{func(d *fleet.ProfileDraft) { d.Plugins = []string{"depth@2.0.0"} }, "no version 2.0.0"},
		{func(d *fleet.ProfileDraft) { d.Templates = []fleet.ProfileTemplate{{Template: "x"}} }, "no template"},
		{func(d *fleet.ProfileDraft) {
			d.Templates = []fleet.ProfileTemplate{{Template: "nginx", Params: map[string]string{"no": "x"}}}
		}, "the template nginx"},
	} {
		d := draft
		bad.change(&d)
		_, err := f.KeepProfile(ctx, admin, "", 0, d)
		wrong(err, bad.want)
	}
	if list := f.Profiles(admin); len(list) != 0 {
		t.Fatalf("%+v is there of what was refused", list)
	}
	p, err := f.KeepProfile(ctx, admin, "", 0, draft)
	must(err)
	if len(p.Templates) != 2 || p.Hosts != 0 {
		t.Fatalf("%+v", p)
	}
	_, err = f.KeepProfile(ctx, admin, "", 0, draft)
	wrong(err, "there is a profile")

	// By its line: the token's own label is added, its tasks, too.
	own, err := f.KeepTask(ctx, admin, "", 0, fleet.TaskDraft{Tenant: "egov", Name: "journal", Template: "journal"})
	must(err)
	_, err = f.CreateToken(ctx, admin, fleet.TokenDraft{Tenant: "egov", Joining: fleet.Joining{Tasks: []string{"x"}}})
	wrong(err, "no task")
	_, err = f.CreateToken(ctx, admin, fleet.TokenDraft{Tenant: "egov", Joining: fleet.Joining{Plugins: []string{"width"}}})
	wrong(err, "no plug-in")
	token := f.Token(t, fleet.TokenDraft{Uses: 3, Labels: []string{"site=one"}, Joining: fleet.Joining{Profile: p.ID, Tasks: []string{own.ID}}})
	var ids []string
	for _, name := range []string{"web-1", "web-2"} {
		x := facts
		x.Hostname, x.OS, x.Arch = name, "linux", "amd64"
		a := run(ctx, enrolled(t, f, token, x), takes)
		ids = append(ids, a.ID)
	}
	h, err := f.Host(admin, ids[0])
	must(err)
	if !slices.Equal(h.Labels, []string{"role=web", "site=one"}) || h.Group != group.ID || h.Assigned != c.ID || h.Profile != p.ID || h.ProfileName != "web" {
		t.Errorf("%+v", h)
	}
	document := func() string {
		text, err := f.Document(admin, ids[0])
		must(err)
		return text
	}
	for _, want := range []string{"plugin: mem", "plugin: nginx", "plugin: mysql", "journal:"} {
		if !strings.Contains(document(), want) {
			t.Errorf("the document lacks %q:\n%s", want, document())
		}
	}
	if strings.Contains(document(), "hunter2") {
		t.Error("the document shows a secret")
	}
	if v, _ := f.Task(admin, own.ID); v.On != 2 {
		t.Errorf("%+v", v)
	}
	// The plug-in is one operation for all hosts of the token, and so is the version that there is no package of.
	jobs := map[string]fleet.JobView{}
	for _, j := range f.Jobs(admin) {
		jobs[j.Kind] = j
	}
	if j := jobs[wire.CommandInstallExtension]; len(jobs) != 2 || j.Hosts != 2 || j.Plugin != "depth" || j.Version != "1.0.0" {
		t.Errorf("%+v", jobs)
	}
	if j := jobs[wire.CommandUpgrade]; j.States[fleet.JobFailed] != 2 {
		t.Errorf("%+v", j)
	}
	_, list, err := f.Job(admin, jobs[wire.CommandUpgrade].ID)
	must(err)
	if !strings.Contains(list[0].Text, "no package of version 9.9.9 for linux/amd64") {
		t.Errorf("%+v", list)
	}
	eventually(t, 5*time.Second, "the order reaches the hosts", func() bool {
		v, _, err := f.Job(admin, jobs[wire.CommandInstallExtension].ID)
		must(err)
		return v.States[fleet.JobDone] == 2
	})

	// As YAML it goes to another place; secrets do not.
	text, err := f.ExportProfile(admin, p.ID)
	must(err)
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "group: north") || !strings.Contains(text, "configuration: base") || !strings.Contains(text, "- password") {
		t.Errorf("%s", text)
	}
	_, err = f.ImportProfile(ctx, admin, "egov", strings.Replace(text, "group: north", "group: south", 1))
	wrong(err, "no group \"south\"")
	_, err = f.ImportProfile(ctx, admin, "egov", "nmae: x\n")
	wrong(err, "nmae")
	again, err := f.ImportProfile(ctx, admin, "egov", strings.Replace(text, "role=web", "role=front", 1))
	must(err)
	if again.ID != p.ID || again.Labels[0] != "role=front" || again.Hosts != 2 || !slices.ContainsFunc(again.Templates, func(x fleet.ProfileTemplate) bool { return slices.Contains(x.Secrets, "password") }) {
		t.Errorf("%+v", again)
	}

	// A template less, and it is gone from the hosts.
	draft.Templates = draft.Templates[:1]
	_, err = f.KeepProfile(ctx, admin, p.ID, p.Revision, draft)
	wrong(err, "changed since it was read")
	_, err = f.KeepProfile(ctx, admin, p.ID, 0, draft)
	must(err)
	if strings.Contains(document(), "plugin: mysql") {
		t.Error("a template that the profile has no more is still on its hosts")
	}

	other := fleet.Asker{Name: "other", Within: reach.Tenants("seal")}
	if _, err := f.ProfileOf(other, p.ID); err == nil || len(f.Profiles(other)) != 0 {
		t.Error("another tenant sees the profile")
	}
	_, err = f.CreateToken(ctx, admin, fleet.TokenDraft{Tenant: "seal", Joining: fleet.Joining{Profile: p.ID}})
	wrong(err, "no host profile")
	_, err = f.DeleteProfile(ctx, other, p.ID)
	wrong(err, "no such thing")
	for _, name := range []string{"north", "south"} { // one is there, one is not
		if _, err := f.ImportProfile(ctx, other, "egov", "name: probe\ngroup: "+name+"\n"); !errors.Is(err, fleet.ErrForbidden) {
			t.Errorf("another tenant is told of the group %s: %v", name, err)
		}
	}
	_, err = f.DeleteProfile(ctx, admin, p.ID)
	wrong(err, "withdraw the token first")
	_, err = f.WithdrawToken(ctx, admin, f.Tokens(admin)[0].ID)
	must(err)
	f.Restart(t)
	_, err = f.DeleteProfile(context.Background(), admin, p.ID)
	must(err)
	if h, _ := f.Host(admin, ids[0]); h.Profile != "" || strings.Contains(document(), "plugin: nginx") {
		t.Errorf("%+v", h)
	}
	operations, err := f.Operations(ctx, admin, roster.OperationQuery{Limit: 200})
	must(err)
	for _, kind := range []string{"profile-created", "profile-applied", "profile-deleted", "task-joined"} {
		if !slices.ContainsFunc(operations, func(o roster.Operation) bool { return o.Kind == kind && o.OK }) {
			t.Errorf("the operation log has no %s", kind)
		}
	}
}

// TestTemplateByItsLine makes a template's task and the line that installs hosts of it in one step, or neither.
func TestTemplateByItsLine(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	d := fleet.TemplateInstall{Task: fleet.TaskDraft{Tenant: "egov", Name: "hosts", Template: "linux-host"}, Token: &fleet.TokenDraft{Uses: 2, Group: "none"}}
	if _, err := f.InstallTemplate(ctx, fleettest.Admin, d); err == nil || !strings.Contains(err.Error(), "no group") {
		t.Errorf("%v", err)
	}
	if list := f.Tasks(fleettest.Admin, fleet.TaskQuery{}); len(list) != 0 {
		t.Errorf("the task of what could not begin is left: %+v", list)
	}
	both := d
	both.Deployment = &fleet.DeploymentDraft{}
	for _, x := range []fleet.TemplateInstall{both, {Task: d.Task}} {
		if _, err := f.InstallTemplate(ctx, fleettest.Admin, x); err == nil || !strings.Contains(err.Error(), "want one of") {
			t.Errorf("%v", err)
		}
	}
	d.Token.Group = ""
	made, err := f.InstallTemplate(ctx, fleettest.Admin, d)
	if err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseToken(made.Token.Text)
	if err != nil {
		t.Fatal(err)
	}
	a := run(ctx, enrolled(t, f, token, facts), takes)
	eventually(t, 5*time.Second, "the host collects", func() bool {
		v, err := f.Task(fleettest.Admin, made.Task.ID)
		return err == nil && v.State == "running" && v.Running == 1 && slices.Equal(v.Hosts, []string{a.ID})
	})
}
