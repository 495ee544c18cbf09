// Command auth measures what stands between a request and its answer in a
// large city: the check of a token, its data scope and the policy's decision,
// and signing in over HTTP with a million users in ten thousand units. It
// prints BENCH lines; make bench-auth runs it.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/api"
	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/identity/password"
	"icewatch/soc/identity/policy"
	"icewatch/soc/reach"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/units"
)

const (
	users    = 1_000_000
	tree     = 10_000
	tokens   = 20_000
	signIns  = 200
	pass     = "Bench-mark-2026-harbour"
	tenantsN = 46
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench-auth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "icewatch-bench-auth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.DiscardHandler)
	db, err := state.Open(ctx, filepath.Join(dir, "icewatch.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	set, err := settings.Open(ctx, db)
	if err != nil {
		return err
	}
	ids, err := identity.Open(ctx, db, set, log)
	if err != nil {
		return err
	}
	if _, err := ids.EnsureAdmin(ctx, pass); err != nil {
		return err
	}
	store, err := units.Open(ctx, db)
	if err != nil {
		return err
	}
	trail, err := audit.Open(ctx, db, audit.Options{Dir: filepath.Join(dir, "audit"), Log: log})
	if err != nil {
		return err
	}
	defer trail.Close()
	scopes := &reach.Compiler{}

	began := time.Now()
	if err := plant(ctx, store, scopes); err != nil {
		return err
	}
	hasher := password.NewHasher(password.DefaultParams)
	hash, err := hasher.Hash(ctx, pass)
	if err != nil {
		return err
	}
	if err := populate(ctx, db, hash); err != nil {
		return err
	}
	secrets, err := mint(ctx, db)
	if err != nil {
		return err
	}
	fmt.Printf("%d users, %d units, %d tokens in %.0f s\n", users, store.Tree().Len(), tokens, time.Since(began).Seconds())

	srv, err := api.New(api.Deps{Identity: ids, Audit: trail, Settings: set, Units: store, Reach: scopes, Log: log})
	if err != nil {
		return err
	}
	decide, err := decisions(ctx, ids, scopes, secrets)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = srv.Serve(ln) }()
	beside, whole, alone, err := signingIn(ctx, "http://"+ln.Addr().String(), hasher)
	if err != nil {
		return err
	}
	fmt.Printf("sign-in over HTTP: p50 %.1f ms, p95 %.1f ms; the password's hash alone: p50 %.1f ms\n", ms(at(whole, 50)), ms(at(whole, 95)), ms(at(alone, 50)))
	fmt.Printf("token, data scope and decision, each token met for the first time: p50 %.0f us, p99 %.0f us\n", us(at(decide, 50)), us(at(decide, 99)))
	fmt.Printf("BENCH auth.decide_p99 %.0f us\n", us(at(decide, 99)))
	fmt.Printf("BENCH auth.signin_p95 %.1f ms\n", ms(at(beside, 95)))
	return srv.Shutdown(ctx)
}

// plant makes the tree of units, five levels deep, and the tenants.
func plant(ctx context.Context, store *units.Store, scopes *reach.Compiler) error {
	list := make([]units.Unit, tree)
	for i := range list {
		list[i] = units.Unit{ID: fmt.Sprintf("u%d", i), Name: units.Text{ZH: fmt.Sprintf("单位 %d", i)}, Code: fmt.Sprintf("C%d", i), Region: fmt.Sprintf("r%d", i%18)}
		if i > 0 {
			list[i].Parent = fmt.Sprintf("u%d", (i-1)/10)
		}
	}
	if _, err := store.Apply(ctx, list); err != nil {
		return err
	}
	tenants := make([]reach.Tenant, tenantsN)
	for i := range tenants {
		tenants[i] = reach.Tenant{Slug: fmt.Sprintf("t%d", i), Unit: fmt.Sprintf("u%d", i*200)}
	}
	all := make([]reach.Unit, 0, tree)
	for _, u := range store.Tree().All() {
		all = append(all, reach.Unit{ID: u.ID, Parent: u.Parent, Code: u.Code, Region: u.Region})
	}
	scopes.SetDirectory(reach.NewDirectory(tenants, all))
	return nil
}

// populate writes the users as the service would, all with one password: a
// million hashes would take hours.
func populate(ctx context.Context, db *state.DB, hash string) error {
	now := time.Now().UnixMilli()
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		const part = 500
		for i := 0; i < users; i += part {
			var q strings.Builder
			args := make([]any, 0, 4*part)
			q.WriteString("INSERT INTO identity_users (id, username, display_name, password_hash, roles, all_tenants, tenants, must_change_password, disabled, created_at, updated_at, unit) VALUES ")
			for j := i; j < i+part; j++ {
				if j > i {
					q.WriteByte(',')
				}
				q.WriteString("(?, ?, ?, ?, '[\"analyst\"]', FALSE, '[\"t1\",\"t2\"]', FALSE, FALSE, ?, ?, ?)")
				args = append(args, fmt.Sprintf("usr_b%d", j), fmt.Sprintf("user%d", j), fmt.Sprintf("用户 %d", j), hash, now, now, fmt.Sprintf("u%d", j%tree))
			}
			if _, err := tx.ExecContext(ctx, q.String(), args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// mint writes API tokens in the form that the service reads.
func mint(ctx context.Context, db *state.DB) ([]string, error) {
	secrets := make([]string, tokens)
	now := time.Now().UnixMilli()
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for i := range secrets {
			raw := make([]byte, 32, 36)
			_, _ = rand.Read(raw)
			raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
			secrets[i] = "iwt_" + base64.RawURLEncoding.EncodeToString(raw)
			sum := sha256.Sum256([]byte(secrets[i]))
			_, err := tx.ExecContext(ctx, "INSERT INTO identity_tokens (id, token_hash, name, tenant, scopes, created_by, created_at) VALUES (?, ?, ?, ?, '[\"read\",\"respond\"]', 'bench', ?)",
				fmt.Sprintf("tok_b%d", i), hex.EncodeToString(sum[:]), "bench", fmt.Sprintf("t%d", i%tenantsN), now)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return secrets, err
}

// decisions times, for each token once, everything that is decided before a
// handler runs: nothing of it has been asked before.
func decisions(ctx context.Context, ids *identity.Service, scopes *reach.Compiler, secrets []string) ([]time.Duration, error) {
	out := make([]time.Duration, 0, len(secrets))
	for i, secret := range secrets {
		began := time.Now()
		p, err := ids.Authenticate(ctx, secret, "127.0.0.1")
		if err != nil {
			return nil, fmt.Errorf("token %d: %w", i, err)
		}
		r, err := scopes.Reach(p.Tenants, p.Conditions...)
		if err != nil {
			return nil, err
		}
		d, err := ids.Access().Engine().Decide(ctx, policy.Request{Subject: p.Subject, Operation: "list-operations", Everywhere: r.Everything(), Address: "127.0.0.1", Time: began})
		if err != nil || !d.Allow {
			return nil, fmt.Errorf("token %d: %+v, %w", i, d, err)
		}
		out = append(out, time.Since(began))
	}
	return out, nil
}

// signingIn times sign-ins of users drawn at random, and the hash alone in
// turn with them, so that both meet the same machine.
func signingIn(ctx context.Context, url string, hasher *password.Hasher) (beside, whole, alone []time.Duration, err error) {
	for range signIns {
		began := time.Now()
		if _, err := hasher.Hash(ctx, pass); err != nil {
			return nil, nil, nil, err
		}
		hash := time.Since(began)
		body := fmt.Sprintf(`{"username":"user%d","password":%q}`, mathrand.IntN(users), pass)
		began = time.Now()
		resp, err := http.Post(url+"/api/v1/auth/login", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			return nil, nil, nil, err
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		took := time.Since(began)
		if resp.StatusCode != 200 {
			return nil, nil, nil, fmt.Errorf("sign in with %s: %d %s", body, resp.StatusCode, text)
		}
		whole, alone, beside = append(whole, took), append(alone, hash), append(beside, max(0, took-hash))
	}
	return beside, whole, alone, nil
}

// at is the percentile of the durations.
func at(list []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
