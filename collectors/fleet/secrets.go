package fleet

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"

	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"

	"icewatch/soc/seal"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var secretMigrations embed.FS

const secretKind = "fleet-secret"

func secretPlace() seal.Place { return seal.Column(secretKind, "fleet_secrets", "id", "sealed") }

// secrets keeps what documents refer to as ${secret:NAME}, sealed, by the task whose
// it is. It is in the suite's own state, where the seal's keys are rotated.
type secrets struct {
	db  *state.DB
	box *seal.Box

	mu   sync.Mutex
	open map[string]map[string]string // by task, as they are sealed in open memory
}

func openSecrets(ctx context.Context, db *state.DB, box *seal.Box) (*secrets, error) {
	if err := db.Migrate(ctx, "fleet_secrets", secretMigrations); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	s := &secrets{db: db, box: box, open: map[string]map[string]string{}}
	var rows []struct{ ID, Sealed string }
	if err := db.NewRaw("SELECT id, sealed FROM fleet_secrets").Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("fleet: read secrets: %w", err)
	}
	for _, r := range rows {
		text, err := box.OpenString(r.Sealed, secretKind+":"+r.ID)
		if err != nil {
			return nil, fmt.Errorf("fleet: the secrets of %s: %w", r.ID, err)
		}
		var m map[string]string
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return nil, fmt.Errorf("fleet: the secrets of %s are damaged", r.ID)
		}
		s.open[r.ID] = m
	}
	return s, nil
}

// set replaces the secrets of a task; none takes them away.
func (s *secrets) set(ctx context.Context, id string, values map[string]string) error {
	if len(values) == 0 {
		if _, err := s.db.NewRaw("DELETE FROM fleet_secrets WHERE id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("fleet: delete secrets: %w", err)
		}
	} else {
		data, err := json.Marshal(values)
		if err != nil {
			return err
		}
		sealed, err := s.box.SealString(string(data), secretKind+":"+id)
		if err != nil {
			return err
		}
		err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewRaw("INSERT INTO fleet_secrets (id, sealed) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed", id, sealed).Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("fleet: keep secrets: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(values) == 0 {
		delete(s.open, id)
	} else {
		s.open[id] = values
	}
	return nil
}

func (s *secrets) of(id string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

var secretPattern = regexp.MustCompile(`\$\{secret:([A-Za-z0-9_.-]{1,64})/([A-Za-z0-9_.-]{1,64})\}`)

// reference is how a document names a secret of a task.
func reference(task, name string) string { return "${secret:" + task + "/" + name + "}" }

// fill puts secrets in the place of references, in the scalars of the document's YAML,
// so that no value can become structure. tasks are those whose secrets may be named:
// nobody gets another's by writing its reference.
func (s *secrets) fill(document string, tasks []string) (string, error) {
	if !secretPattern.MatchString(document) {
		return document, nil
	}
	may := map[string]bool{}
	for _, t := range tasks {
		may[t] = true
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(document), &root); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var walk func(n *yaml.Node) error
	walk = func(n *yaml.Node) error {
		if n.Kind == yaml.ScalarNode {
			var missing error
			replaced := secretPattern.ReplaceAllStringFunc(n.Value, func(ref string) string {
				m := secretPattern.FindStringSubmatch(ref)
				v, ok := s.open[m[1]][m[2]]
				if !may[m[1]] || !ok {
					missing = fmt.Errorf("the secret %s of the task %s is not there: give it again", m[2], m[1])
				}
				return v
			})
			if missing != nil {
				return missing
			}
			if replaced != n.Value {
				n.Value, n.Style, n.Tag = replaced, yaml.DoubleQuotedStyle, "!!str"
			}
		}
		for _, c := range n.Content {
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(&root); err != nil {
		return "", err
	}
	out, err := yaml.Marshal(&root)
	return string(out), err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
