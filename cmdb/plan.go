package cmdb

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

// maxErrors is how many mistakes of one file are told.
const maxErrors = 1000

// The columns of a file, and the fields of a history entry.
const (
	colID           = "id"
	colClass        = "class"
	colName         = "name"
	colTenant       = "tenant"
	colZone         = "zone"
	colAddresses    = "addresses"
	colHostnames    = "hostnames"
	colCriticality  = "criticality"
	colOwner        = "owner"
	colLabels       = "labels"
	colSystem       = "system"
	colOrganisation = "organisation"
	colAttributes   = "attributes"
	attrPrefix      = "attr."
)

// draft is one item as somebody wants it: the fields that are given replace
// what is there, those that are not leave it. System and Organisation of want
// are references as written, ids or names, until the plan resolves them.
type draft struct {
	sheet string // of the workbook, for error messages
	row   int    // there, or in the file
	given map[string]bool
	want  Item
	// attrs are the attributes given; an empty value takes one away. With
	// wholeAttrs they replace the old ones as a whole.
	attrs      map[string]string
	wholeAttrs bool

	class *Class
	old   *Item // nil for a new item
	final Item
	bad   bool // an error was told; do not add others that follow from it
}

// errorList gathers mistakes up to maxErrors and counts the rest.
type errorList struct {
	list  []RowError
	total int
	sheet string // of the mistakes to come
}

func (e *errorList) add(row int, column, format string, args ...any) {
	e.total++
	if len(e.list) < maxErrors {
		e.list = append(e.list, RowError{Sheet: e.sheet, Row: row, Column: column, Message: fmt.Sprintf(format, args...)})
	}
}

type identityKey struct{ class, tenant, identity string }

type addressKey struct{ zone, address string }

// planner works out what a set of drafts changes, against one consistent state
// of the tables. It changes nothing.
type planner struct {
	db      bun.IDB
	model   *model.Model
	tenants *tenancy.Registry
	within  reach.Reach // what may be changed and referred to
	tenant  string      // of new items that name none
	back    bool        // it gives items what they had before
	now     time.Time
	made    int // ids made so far
	errs    errorList

	// stale are the drafts of who saw another revision of the item than there
	// is now.
	stale []*draft

	drafts []*draft
	byID   map[string]*draft // drafts by final id
	byName map[string][]*draft
	// stored holds what was read from the tables, by id and by identity.
	stored      map[string]*Item
	storedKeys  map[identityKey]*Item
	looked      map[string]bool        // the identities that were looked for
	facts       map[string]reach.Facts // of what was read, by id
	storedByRef map[string][]*Item     // by name
	raw         map[string][]*draft    // drafts by id and name as written
}

func (p *planner) fail(d *draft, column, format string, args ...any) {
	d.bad = true
	p.errs.sheet = d.sheet
	p.errs.add(d.row, column, format, args...)
}

// at says in words where a draft stands.
func (d *draft) at() string {
	if d.sheet != "" {
		return fmt.Sprintf("row %d of sheet %q", d.row, d.sheet)
	}
	return fmt.Sprintf("row %d", d.row)
}

// run fills in old and final of every draft, or leaves mistakes in errs.
func (p *planner) run(ctx context.Context) error {
	p.byID, p.byName = map[string]*draft{}, map[string][]*draft{}
	p.stored, p.storedKeys, p.storedByRef = map[string]*Item{}, map[identityKey]*Item{}, map[string][]*Item{}
	p.looked = map[string]bool{}
	p.facts = map[string]reach.Facts{}
	for _, d := range p.drafts {
		p.checkValues(d)
	}
	if err := p.prefetch(ctx); err != nil {
		return err
	}
	// Lower ranks first: a host may take its tenant from its system, which
	// may stand further down in the same file.
	order := slices.Clone(p.drafts)
	slices.SortStableFunc(order, func(a, b *draft) int { return cmp.Or(rank(a)-rank(b), depth(a)-depth(b)) })
	for _, d := range order {
		if !d.bad {
			p.identify(d)
		}
	}
	for _, d := range order {
		if !d.bad {
			p.merge(d)
		}
	}
	if err := p.checkReferences(ctx); err != nil {
		return err
	}
	if err := p.checkUnique(ctx); err != nil {
		return err
	}
	if p.errs.total == 0 {
		return p.checkTree(ctx)
	}
	return nil
}

func rank(d *draft) int {
	if d.class == nil {
		return 0
	}
	return d.class.Rank
}

// depth orders drafts of one rank: what a key refers to comes before it.
func depth(d *draft) int {
	if d.class == nil {
		return 0
	}
	return d.class.Depth()
}

// checkValues brings the values given into canonical form.
func (p *planner) checkValues(d *draft) {
	w := &d.want
	w.Class = strings.ToLower(strings.TrimSpace(w.Class))
	d.class = p.model.Class(w.Class)
	if d.class != nil && d.class.Abstract {
		p.fail(d, colClass, "there are no items of class %q: want one of %s", w.Class, strings.Join(p.model.Concrete(w.Class), ", "))
		d.class = nil
		return
	}
	w.ID = strings.TrimSpace(w.ID)
	if w.ID != "" && !idPattern.MatchString(w.ID) {
		p.fail(d, colID, "%q: want 1 to 128 of letters, digits, '.', '_', ':' and '-', the first a letter or digit", w.ID)
	}
	if d.class == nil {
		switch {
		case w.Class == "" && d.bad: // it was given, but could not be read
		case w.Class == "":
			p.fail(d, colClass, "the class is missing: want one of %s", classNames(p.model))
		default:
			p.fail(d, colClass, "unknown class %q: want one of %s", w.Class, classNames(p.model))
		}
		return
	}
	text := func(column string, v *string, limit int) {
		if !d.given[column] {
			return
		}
		s, err := checkText(*v, limit)
		if err != nil {
			p.fail(d, column, "%v", err)
		}
		*v = s
	}
	text(colName, &w.Name, maxName)
	text(colTenant, &w.Tenant, 63)
	text(colOwner, &w.Owner, maxName)
	text(colSystem, &w.System, maxName)
	text(colOrganisation, &w.Organisation, maxName)
	if w.Tenant != "" {
		if _, ok := p.tenants.Get(w.Tenant); !ok {
			p.fail(d, colTenant, "unknown tenant %q", w.Tenant)
		} else if w.Tenant == tenancy.Unassigned {
			p.fail(d, colTenant, "no item belongs to %q: leave the tenant empty for what the whole city shares", w.Tenant)
		}
	}
	if w.Criticality != 0 && (w.Criticality < 1 || w.Criticality > 5) {
		p.fail(d, colCriticality, "%d is out of range: want 1 (least) to 5 (most)", w.Criticality)
	}
	list := func(column string, v *[]string, check func(string) (string, error)) {
		if !d.given[column] {
			return
		}
		l, errs := checkList(*v, check)
		for _, err := range errs {
			p.fail(d, column, "%v", err)
		}
		*v = l
	}
	list(colLabels, &w.Labels, checkLabel)
	list(colHostnames, &w.Hostnames, checkHostname)
	list(colAddresses, &w.Addresses, func(s string) (string, error) { return checkAddress(d.class.Addresses, s) })
	if d.given[colZone] {
		z, err := checkText(w.Zone, maxZone)
		if err != nil {
			p.fail(d, colZone, "%v", err)
		}
		w.Zone = z
	}
	p.checkApplies(d)
	for _, name := range slices.Sorted(maps.Keys(d.attrs)) {
		column, value := attrPrefix+name, d.attrs[name]
		if !attributePattern.MatchString(name) {
			p.fail(d, column, "%q is no attribute name: want 1 to 63 of letters, digits, '_', '.' and '-', the first a letter", name)
			continue
		}
		v, err := checkAttrValue(value)
		if err == nil && v != "" {
			if a := d.class.Attribute(name); a != nil {
				v, err = a.Check(v)
			}
		}
		if err != nil {
			p.fail(d, column, "%v", err)
			continue
		}
		d.attrs[name] = v
	}
}

// checkApplies refuses values that mean nothing for the class.
func (p *planner) checkApplies(d *draft) {
	c, w := d.class, &d.want
	if c.Addresses == model.NoAddresses {
		if len(w.Addresses) > 0 {
			p.fail(d, colAddresses, "an item of class %s has no addresses", c.Name)
		}
		if w.Zone != "" {
			p.fail(d, colZone, "an item of class %s has no network zone", c.Name)
		}
	}
	if !c.Hostnames && len(w.Hostnames) > 0 {
		p.fail(d, colHostnames, "an item of class %s has no host names", c.Name)
	}
	if !c.System && w.System != "" {
		p.fail(d, colSystem, "an item of class %s belongs to no system", c.Name)
	}
}

// prefetch reads the stored items that the drafts may be or name.
func (p *planner) prefetch(ctx context.Context) error {
	var ids, identities, refs []string
	for _, d := range p.drafts {
		if d.want.ID != "" {
			ids = append(ids, d.want.ID)
		}
		if d.want.ID == "" && depth(d) == 0 && d.class != nil {
			if key, ok, _ := p.keyOf(d, ""); ok {
				identities = append(identities, key)
			}
		}
		for _, ref := range d.references() {
			refs = append(refs, ref)
		}
	}
	keep := func(it Item, facts reach.Facts) {
		if p.stored[it.ID] != nil {
			return
		}
		p.stored[it.ID], p.facts[it.ID] = &it, facts
		p.storedKeys[identityKey{it.Class, it.Tenant, it.identity}] = &it
		p.storedByRef[it.Name] = append(p.storedByRef[it.Name], &it)
	}
	if err := selectBy(ctx, p.db, "id", slices.Concat(ids, refs), keep); err != nil {
		return err
	}
	if err := selectBy(ctx, p.db, "identity", identities, keep); err != nil {
		return err
	}
	for _, key := range identities {
		p.looked[key] = true
	}
	if err := selectBy(ctx, p.db, "name", refs, keep); err != nil {
		return err
	}
	if err := p.prefetchReferring(ctx, keep); err != nil {
		return err
	}
	// What an item already belongs to is needed to check what it is now.
	var parents []string
	for _, it := range p.stored {
		for _, id := range referencesOf(p.model.Class(it.Class), it) {
			if p.stored[id] == nil {
				parents = append(parents, id)
			}
		}
	}
	return selectBy(ctx, p.db, "id", parents, keep)
}

// prefetchReferring reads the stored items that drafts may be whose keys refer
// to others, once those are read, the shortest ways first.
func (p *planner) prefetchReferring(ctx context.Context, keep func(Item, reach.Facts)) error {
	byDepth := map[int][]string{}
	for _, d := range p.drafts {
		if n := depth(d); n > 0 && d.want.ID == "" {
			byDepth[n] = append(byDepth[n], p.possibleKeys(d)...)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(byDepth)) {
		if err := selectBy(ctx, p.db, "identity", byDepth[n], keep); err != nil {
			return err
		}
		for _, key := range byDepth[n] {
			p.looked[key] = true
		}
	}
	return nil
}

// identify finds the stored item a draft means, or makes a new one.
func (p *planner) identify(d *draft) {
	w := &d.want
	if w.ID != "" {
		if old := p.stored[w.ID]; old != nil {
			if !p.visible(old.ID) {
				p.fail(d, colID, "the id %q is not available", w.ID)
				return
			}
			if old.Class != w.Class {
				p.fail(d, colClass, "item %q is of class %s: the class cannot change", w.ID, old.Class)
				return
			}
			d.old = old
		}
	}
	tenant := w.Tenant
	if tenant == "" && d.class.System && w.System != "" {
		// The tenant of the system is the tenant of what belongs to it.
		var ok bool
		if tenant, ok = p.tenantOfSystem(d); !ok {
			return
		}
	}
	switch {
	case tenant == "" && d.old != nil && !d.given[colTenant]:
		tenant = d.old.Tenant
	case tenant == "":
		tenant = p.tenant
	}
	name := w.Name
	if name == "" && d.old != nil && !d.given[colName] {
		name = d.old.Name
	}
	if name == "" {
		p.fail(d, colName, "the name is missing")
		return
	}
	if d.old == nil && w.ID == "" {
		key, ok, missing := p.keyOf(d, tenant)
		if d.bad {
			return // what its key refers to is unknown, which was told
		}
		if !ok {
			p.fail(d, missing, "it is part of what makes an item of class %s one: give it, or the item's id", w.Class)
			return
		}
		d.old = p.storedKeys[identityKey{w.Class, tenant, key}]
		if d.old != nil && p.coversTenant(tenant) && !p.visible(d.old.ID) {
			p.fail(d, colName, "%s is taken by an item outside of your reach", keyText(d.class, key))
			return
		}
	}
	if w.Revision > 0 && (d.old == nil || d.old.Revision != w.Revision) || w.Revision == MustBeNew && d.old != nil {
		p.stale = append(p.stale, d)
	}
	if d.old != nil {
		w.ID = d.old.ID
	}
	if w.ID == "" {
		w.ID = p.newID(d.class.Prefix)
	}
	if other := p.byID[w.ID]; other != nil {
		p.fail(d, colName, "this is the same item as in %s", other.at())
		return
	}
	if !p.coversTenant(tenant) {
		p.fail(d, colTenant, "%s", outsideReach(tenant))
		return
	}
	w.Tenant, w.Name = tenant, name
	p.byID[w.ID] = d
	p.byName[name] = append(p.byName[name], d)
}

// seqOf is the number of a draft or of a stored item that was read, 0 of others.
func (p *planner) seqOf(id string) int32 {
	if d := p.byID[id]; d != nil && d.final.seq != 0 {
		return d.final.seq
	}
	if it := p.stored[id]; it != nil {
		return it.seq
	}
	return 0
}

// visible tells whether a stored item is in reach.
func (p *planner) visible(id string) bool { return p.within.Match(p.facts[id]) }

// coversTenant tells whether the reach holds something of the tenant; what
// belongs to none is in that over everything only.
func (p *planner) coversTenant(tenant string) bool { return p.within.CoversTenant(tenant) }

func outsideReach(tenant string) string {
	if tenant == "" {
		return "an item without a tenant is outside of what you may change: name a tenant"
	}
	return fmt.Sprintf("tenant %q is outside of what you may change", tenant)
}

// merge makes final from old and what is given.
func (p *planner) merge(d *draft) {
	w := &d.want
	f := Item{ID: w.ID, Class: w.Class, CreatedAt: p.now, UpdatedAt: p.now}
	if d.old != nil {
		f = *d.old
	}
	f.Name, f.Tenant = w.Name, w.Tenant
	if d.given[colOwner] {
		f.Owner = w.Owner
	}
	if d.given[colAddresses] {
		f.Addresses = w.Addresses
	}
	if d.given[colHostnames] {
		f.Hostnames = w.Hostnames
	}
	if d.given[colLabels] {
		f.Labels = w.Labels
	}
	if d.class.Addresses == model.NoAddresses {
		f.Zone = ""
	} else {
		if d.given[colZone] {
			f.Zone = w.Zone
		}
		if f.Zone == "" {
			f.Zone = DefaultZone
		}
	}
	if d.given[colSystem] {
		f.System = ""
		if w.System != "" {
			f.System = p.resolve(d, colSystem, systemClasses, w.System, f.Tenant)
		}
	}
	if d.given[colOrganisation] {
		f.Organisation = ""
		if w.Organisation != "" {
			f.Organisation = p.resolve(d, colOrganisation, organisationClasses, w.Organisation, f.Tenant)
		}
	}
	if w.Criticality != 0 {
		f.Criticality = w.Criticality
	}
	if f.Criticality == 0 {
		f.Criticality = p.defaultCriticality(&f)
	}
	p.mergeAttributes(d, &f)
	f.identity = identityOf(d.class, &f)
	f.fill()
	d.final = f
}

// mergeAttributes takes over the attributes given, and sees that those are
// there which the class wants.
func (p *planner) mergeAttributes(d *draft, f *Item) {
	if len(d.attrs) > 0 || d.wholeAttrs || d.old == nil {
		merged := map[string]string{}
		if !d.wholeAttrs {
			for k, v := range f.Attributes {
				merged[k] = v
			}
		}
		for _, k := range slices.Sorted(maps.Keys(d.attrs)) { // mistakes come in one order
			v := d.attrs[k]
			if a := d.class.Attribute(k); v != "" && a != nil && a.Type == model.Reference {
				v = p.resolveAll(d, a, v, f.Tenant)
			}
			if v == "" {
				delete(merged, k)
			} else {
				merged[k] = v
			}
		}
		for i := range d.class.Attributes {
			if a := &d.class.Attributes[i]; d.old == nil && a.Default != "" && merged[a.Name] == "" {
				merged[a.Name] = a.Default
			}
		}
		if len(merged) > maxAttrs {
			p.fail(d, colAttributes, "%d attributes: want at most %d", len(merged), maxAttrs)
		}
		f.Attributes = merged
	}
	p.checkStates(d, f)
	for i := range d.class.Attributes {
		if a := &d.class.Attributes[i]; a.Required && f.Attributes[a.Name] == "" && !d.bad {
			p.fail(d, attrPrefix+a.Name, "an item of class %s needs a value", f.Class)
		}
	}
}

// checkStates refuses steps that a life cycle does not have. Who goes back to
// what an item was may make any.
func (p *planner) checkStates(d *draft, f *Item) {
	if p.back {
		return
	}
	for i := range d.class.Attributes {
		a := &d.class.Attributes[i]
		before := ""
		if d.old != nil {
			before = d.old.Attributes[a.Name]
		}
		if err := a.MayBecome(before, f.Attributes[a.Name]); err != nil {
			p.fail(d, attrPrefix+a.Name, "%v", err)
		}
	}
}

// defaultCriticality is what an item gets that is created without one: its
// system's, or 3.
func (p *planner) defaultCriticality(f *Item) int {
	if f.System != "" {
		if d := p.byID[f.System]; d != nil && d.final.Criticality != 0 {
			return d.final.Criticality
		}
		if it := p.stored[f.System]; it != nil {
			return it.Criticality
		}
	}
	return 3
}

// idEncoding keeps the order of the bytes, so that ids sort by age.
var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID makes an id nobody has: the time in milliseconds, a running number and
// 48 random bits. Ids that grow keep a large import at the end of each index
// of the tables, which makes it several times faster.
func (p *planner) newID(prefix string) string {
	p.made++
	var b [15]byte
	binary.BigEndian.PutUint64(b[:8], uint64(p.now.UnixMilli())<<16)
	b[6], b[7], b[8] = byte(p.made>>16), byte(p.made>>8), byte(p.made)
	rand.Read(b[9:]) // never fails, see crypto/rand
	return prefix + "-" + idEncoding.EncodeToString(b[:])
}
