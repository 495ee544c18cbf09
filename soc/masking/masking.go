// Package masking keeps the rules by which parts of events are hidden from
// people: phone numbers, identity numbers, whatever fields an administrator
// names. A rule says what is hidden, how, and which roles see it all the same.
// Of the rules that are enabled each caller gets a veil (soc/veil), which his
// reach carries to every place where events are read. The rules for common
// personal data are there from the start, disabled.
package masking

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/soc/veil"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such rule.
	ErrNotFound = errors.New("there is no such masking rule")
	// ErrInvalid says that a rule cannot be kept as it is; the error that wraps
	// it says why.
	ErrInvalid = errors.New("the masking rule is not valid")
	// ErrBuiltIn says that a rule of the suite's own cannot be removed.
	ErrBuiltIn = errors.New("a built-in masking rule can be disabled and changed, but not removed")
)

// maxRules bounds the rules, each of which every event read is held against.
const maxRules = 200

// Text is a text in both languages.
type Text struct {
	ZH string `json:"zh" maxLength:"200"`
	EN string `json:"en" maxLength:"200"`
}

// Rule is a masking rule. What its parts mean is said in soc/veil.
type Rule struct {
	ID          string    `json:"id"`
	Name        Text      `json:"name"`
	Description string    `json:"description"`
	Enabled     bool      `json:"enabled"`
	BuiltIn     bool      `json:"builtin"`
	Fields      []string  `json:"fields"`
	Pattern     string    `json:"pattern"`
	Check       string    `json:"check"`
	Method      string    `json:"method"`
	First       int       `json:"first"`
	Last        int       `json:"last"`
	Strict      bool      `json:"strict"`
	ExemptRoles []string  `json:"exempt_roles"` // ids
	UpdatedAt   time.Time `json:"updated_at"`
	UpdatedBy   string    `json:"updated_by"`
}

func (r *Rule) veil() veil.Rule {
	return veil.Rule{ID: r.ID, Fields: r.Fields, Pattern: r.Pattern, Check: r.Check, Method: r.Method, First: r.First, Last: r.Last, Strict: r.Strict}
}

// row is a Rule as the table has it.
type row struct {
	bun.BaseModel `bun:"table:masking_rules,alias:m"`
	ID            string   `bun:"id,pk"`
	NameZH        string   `bun:"name_zh"`
	NameEN        string   `bun:"name_en"`
	Description   string   `bun:"description"`
	Enabled       bool     `bun:"enabled"`
	BuiltIn       bool     `bun:"builtin"`
	Fields        []string `bun:"fields"`
	Pattern       string   `bun:"pattern"`
	Check         string   `bun:"check_digit"`
	Method        string   `bun:"method"`
	First         int      `bun:"first"`
	Last          int      `bun:"last"`
	Strict        bool     `bun:"strict"`
	ExemptRoles   []string `bun:"exempt_roles"`
	UpdatedAt     int64    `bun:"updated_at"`
	UpdatedBy     string   `bun:"updated_by"`
}

func rowOf(r Rule) *row {
	return &row{ID: r.ID, NameZH: r.Name.ZH, NameEN: r.Name.EN, Description: r.Description, Enabled: r.Enabled, BuiltIn: r.BuiltIn, Fields: r.Fields, Pattern: r.Pattern,
		Check: r.Check, Method: r.Method, First: r.First, Last: r.Last, Strict: r.Strict, ExemptRoles: r.ExemptRoles, UpdatedAt: r.UpdatedAt.UnixMilli(), UpdatedBy: r.UpdatedBy}
}

func (r *row) rule() Rule {
	return Rule{ID: r.ID, Name: Text{r.NameZH, r.NameEN}, Description: r.Description, Enabled: r.Enabled, BuiltIn: r.BuiltIn, Fields: slices.Concat([]string{}, r.Fields), Pattern: r.Pattern,
		Check: r.Check, Method: r.Method, First: r.First, Last: r.Last, Strict: r.Strict, ExemptRoles: slices.Concat([]string{}, r.ExemptRoles),
		UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), UpdatedBy: r.UpdatedBy}
}

// builtIn are the rules for common personal data.
var builtIn = []Rule{
	{ID: "phone", Name: Text{"手机号码", "Mobile phone numbers"}, Pattern: `\b1[3-9][0-9]{9}\b`, Method: veil.Keep, First: 3, Last: 4},
	{ID: "id-card", Name: Text{"居民身份证号", "Resident identity numbers"}, Pattern: `\b[1-9][0-9]{16}[0-9Xx]\b`, Check: veil.IDCard, Method: veil.Keep, First: 6, Last: 2},
	{ID: "bank-card", Name: Text{"银行卡号", "Bank card numbers"}, Pattern: `\b[2-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}(?:[ -]?[0-9]{1,3})?\b`, Check: veil.Luhn, Method: veil.Keep, Last: 4},
	{ID: "email", Name: Text{"电子邮件地址", "E-mail addresses"}, Pattern: `\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}\b`, Method: veil.Keep, First: 1},
	{ID: "password", Name: Text{"口令与密钥", "Passwords and keys"}, Pattern: `(?i)\b(?:password|passwd|pwd|secret|token|api_?key)["']?\s*[=:]\s*["']?[^\s"'&,;]{1,256}`, Method: veil.Full},
}

const kindKey = "masking-key"

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(kindKey, "masking_keys", "id", "secret")}
}

// Store keeps the rules. It is safe for concurrent use.
type Store struct {
	db     *state.DB
	secret []byte
	rules  atomic.Pointer[[]Rule] // those enabled
}

// Open prepares the tables and loads the rules.
func Open(ctx context.Context, db *state.DB, box *seal.Box) (*Store, error) {
	if err := db.Migrate(ctx, "masking", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if err := s.openKey(ctx, box); err != nil {
		return nil, err
	}
	for _, r := range builtIn {
		r.BuiltIn, r.Fields, r.ExemptRoles = true, []string{}, []string{"admin", "security-admin"}
		if _, err := db.NewInsert().Model(rowOf(r)).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
			return nil, fmt.Errorf("masking: add the built-in rule %s: %w", r.ID, err)
		}
	}
	return s, s.load(ctx)
}

// openKey reads the key of hashes, and makes one the first time.
func (s *Store) openKey(ctx context.Context, box *seal.Box) error {
	const id = "hash"
	var sealed string
	err := s.db.NewSelect().Table("masking_keys").Column("secret").Where("id = ?", id).Scan(ctx, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh) // never fails
		if sealed, err = box.SealString(hex.EncodeToString(fresh), kindKey+":"+id); err != nil {
			return fmt.Errorf("masking: %w", err)
		}
		_, err = s.db.NewRaw("INSERT INTO masking_keys (id, secret) VALUES (?, ?)", id, sealed).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("masking: the key of hashes: %w", err)
	}
	text, err := box.OpenString(sealed, kindKey+":"+id)
	if err != nil {
		return fmt.Errorf("masking: the key of hashes: %w", err)
	}
	if s.secret, err = hex.DecodeString(text); err != nil {
		return fmt.Errorf("masking: the key of hashes: %w", err)
	}
	return nil
}

// load puts the enabled rules in force. A rule that does not compile is an
// error: what should be hidden must not be shown instead.
func (s *Store) load(ctx context.Context) error {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("enabled").Order("id").Scan(ctx); err != nil {
		return fmt.Errorf("masking: load the rules: %w", err)
	}
	rules := make([]Rule, len(rows))
	for i := range rows {
		rules[i] = rows[i].rule()
		if _, err := rules[i].veil().Compile(); err != nil {
			return fmt.Errorf("masking: the rule %s: %w", rules[i].ID, err)
		}
	}
	s.rules.Store(&rules)
	return nil
}

// Active tells whether any rule is enabled.
func (s *Store) Active() bool { return len(*s.rules.Load()) > 0 }

// InForce lists the rules in force for somebody with the roles.
func (s *Store) InForce(roles []string) []Rule {
	var list []Rule
	for _, r := range *s.rules.Load() {
		if !slices.ContainsFunc(r.ExemptRoles, func(id string) bool { return slices.Contains(roles, id) }) {
			list = append(list, r)
		}
	}
	return list
}

// Veil is what is hidden from somebody with the roles, nil where that is
// nothing.
func (s *Store) Veil(roles []string) (*veil.Veil, error) {
	rules := s.InForce(roles)
	list := make([]veil.Rule, len(rules))
	for i := range rules {
		list[i] = rules[i].veil()
	}
	return veil.New(list, s.secret)
}

// Preview shows texts as a rule would have them shown; each is taken for the
// value of one of its fields.
func (s *Store) Preview(r Rule, samples []string) ([]string, error) {
	if err := check(&r); err != nil {
		return nil, err
	}
	v, err := veil.New([]veil.Rule{r.veil()}, s.secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	field := "message"
	if len(r.Fields) > 0 {
		field = r.Fields[0]
	}
	out := make([]string, len(samples))
	for i, text := range samples {
		out[i] = v.Value(field, text)
	}
	return out, nil
}

// Query picks rules for a list.
type Query struct {
	Text    string // in the id, the name, the description, the fields or the pattern, whatever its case
	Enabled *bool
	Limit   int
	Offset  int
}

// List returns rules by id and how many there are in all.
func (s *Store) List(ctx context.Context, q Query) ([]Rule, int, error) {
	var rows []row
	sel := s.db.NewSelect().Model(&rows).Order("id").Limit(int64(q.Limit)).Offset(int64(q.Offset))
	if text := strings.ToLower(strings.TrimSpace(q.Text)); text != "" {
		sel = sel.Where("instr(lower(id || ' ' || name_zh || ' ' || name_en || ' ' || description || ' ' || fields || ' ' || pattern), ?) > 0", text)
	}
	if q.Enabled != nil {
		sel = sel.Where("enabled = ?", *q.Enabled)
	}
	total, err := sel.ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("masking: list the rules: %w", err)
	}
	list := make([]Rule, len(rows))
	for i := range rows {
		list[i] = rows[i].rule()
	}
	return list, int(total), nil
}

// Get returns one rule.
func (s *Store) Get(ctx context.Context, id string) (Rule, error) {
	var r row
	err := s.db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Rule{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return Rule{}, fmt.Errorf("masking: read the rule %q: %w", id, err)
	}
	return r.rule(), nil
}

func check(r *Rule) error {
	r.Name.ZH, r.Name.EN = strings.TrimSpace(r.Name.ZH), strings.TrimSpace(r.Name.EN)
	if r.Name.ZH == "" {
		r.Name.ZH = r.Name.EN
	}
	if r.Name.EN == "" {
		r.Name.EN = r.Name.ZH
	}
	if r.Name.ZH == "" {
		return fmt.Errorf("%w: it needs a name", ErrInvalid)
	}
	if _, err := r.veil().Compile(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Create keeps a new rule and puts it in force where it is enabled.
func (s *Store) Create(ctx context.Context, r Rule, by string) (Rule, error) {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	r.ID, r.BuiltIn, r.UpdatedAt, r.UpdatedBy = "m-"+hex.EncodeToString(b), false, time.Now(), by
	if err := check(&r); err != nil {
		return Rule{}, err
	}
	n, err := s.db.NewSelect().Model((*row)(nil)).Count(ctx)
	if err != nil {
		return Rule{}, fmt.Errorf("masking: %w", err)
	}
	if n >= maxRules {
		return Rule{}, fmt.Errorf("%w: there are %d rules, which is the most", ErrInvalid, n)
	}
	if _, err := s.db.NewInsert().Model(rowOf(r)).Exec(ctx); err != nil {
		return Rule{}, fmt.Errorf("masking: create a rule: %w", err)
	}
	return rowOf(r).rule(), s.load(ctx)
}

// Update changes a rule.
func (s *Store) Update(ctx context.Context, id string, r Rule, by string) (Rule, error) {
	before, err := s.Get(ctx, id)
	if err != nil {
		return Rule{}, err
	}
	r.ID, r.BuiltIn, r.UpdatedAt, r.UpdatedBy = id, before.BuiltIn, time.Now(), by
	if err := check(&r); err != nil {
		return Rule{}, err
	}
	if _, err := s.db.NewUpdate().Model(rowOf(r)).WherePK().Exec(ctx); err != nil {
		return Rule{}, fmt.Errorf("masking: change the rule %q: %w", id, err)
	}
	if err := s.load(ctx); err != nil {
		return Rule{}, err
	}
	return s.Get(ctx, id)
}

// Enable enables or disables a rule.
func (s *Store) Enable(ctx context.Context, id string, on bool, by string) (Rule, error) {
	r, err := s.Get(ctx, id)
	if err != nil {
		return Rule{}, err
	}
	r.Enabled = on
	return s.Update(ctx, id, r, by)
}

// Delete removes a rule.
func (s *Store) Delete(ctx context.Context, id string) error {
	r, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if r.BuiltIn {
		return ErrBuiltIn
	}
	if _, err := s.db.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("masking: remove the rule %q: %w", id, err)
	}
	return s.load(ctx)
}
