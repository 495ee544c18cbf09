package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Keycloak is a running Keycloak with a realm "city" in it.
type Keycloak struct {
	URL   string
	Realm string // address of the realm: the OIDC issuer
	t     testing.TB
	token string
	until time.Time
}

// StartKeycloak starts a Keycloak, its database in memory. It is looked for
// where keycloak.sh puts it, or in the folder ICEWATCH_KEYCLOAK names. One at a
// time: it writes into its own folder.
func StartKeycloak(t testing.TB) *Keycloak {
	t.Helper()
	home := os.Getenv("ICEWATCH_KEYCLOAK")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "keycloak-*")); len(found) > 0 {
			home = slices.Max(found)
		}
	}
	kc := filepath.Join(home, "bin", "kc.sh")
	if _, err := os.Stat(kc); home == "" || err != nil {
		Missing(t, "Keycloak is not installed: test/peers/keycloak.sh fetches it")
	}
	Program(t, "java")
	port, management := FreePort(t), FreePort(t)
	k := &Keycloak{URL: "http://127.0.0.1:" + port, t: t}
	k.Realm = k.URL + "/realms/city"
	cmd := exec.Command(kc, "start-dev", "--db=dev-mem", "--http-host=127.0.0.1", "--http-port="+port, "--http-management-port="+management, "--hostname="+k.URL)
	cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin-secret", "JAVA_OPTS_KC_HEAP=-Xms128m -Xmx768m")
	log, exited := start(t, cmd)
	await(t, 3*time.Minute, "Keycloak", log, exited, func() error {
		resp, err := http.Get(k.URL + "/realms/master")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	})
	// sslRequired NONE: the test speaks plain HTTP on the loopback address.
	k.Admin(http.MethodPost, "/admin/realms", map[string]any{"realm": "city", "enabled": true, "sslRequired": "NONE"}, nil)
	return k
}

// Admin calls Keycloak's administration API. What is not a success ends the
// test.
func (k *Keycloak) Admin(method, path string, body, answer any) {
	k.t.Helper()
	if time.Now().After(k.until) {
		resp, err := http.PostForm(k.URL+"/realms/master/protocol/openid-connect/token",
			url.Values{"client_id": {"admin-cli"}, "grant_type": {"password"}, "username": {"admin"}, "password": {"admin-secret"}})
		if err != nil {
			k.t.Fatal(err)
		}
		defer resp.Body.Close()
		var token struct {
			Access  string `json:"access_token"`
			Expires int    `json:"expires_in"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&token); err != nil || token.Access == "" {
			k.t.Fatalf("Keycloak gives its administrator no token: %s %v", resp.Status, err)
		}
		k.token, k.until = token.Access, time.Now().Add(time.Duration(token.Expires)*time.Second/2)
	}
	var reader io.Reader
	media := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		reader, media = bytes.NewReader(b), "application/xml"
	default:
		data, err := json.Marshal(body)
		if err != nil {
			k.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, k.URL+path, reader)
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		k.t.Fatalf("Keycloak: %s %s: %s %s %v", method, path, resp.Status, data, err)
	}
	if answer != nil {
		if err := json.Unmarshal(data, answer); err != nil {
			k.t.Fatalf("Keycloak: %s %s: %v", method, path, err)
		}
	}
}

// User makes a user of the realm, in groups that are made where they are
// missing. The password is "pw-of-" and the name.
func (k *Keycloak) User(name string, groups ...string) {
	k.t.Helper()
	for _, g := range groups {
		var found []map[string]any
		k.Admin(http.MethodGet, "/admin/realms/city/groups?exact=true&search="+url.QueryEscape(g), nil, &found)
		if len(found) == 0 {
			k.Admin(http.MethodPost, "/admin/realms/city/groups", map[string]any{"name": g}, nil)
		}
	}
	k.Admin(http.MethodPost, "/admin/realms/city/users", map[string]any{"username": name, "enabled": true, "email": name + "@city.test", "emailVerified": true,
		"firstName": name, "lastName": "of the City", "groups": groups,
		"credentials": []map[string]any{{"type": "password", "value": "pw-of-" + name, "temporary": false}}}, nil)
}

// UserID finds a user's id.
func (k *Keycloak) UserID(name string) string {
	k.t.Helper()
	var found []struct {
		ID string `json:"id"`
	}
	k.Admin(http.MethodGet, "/admin/realms/city/users?exact=true&username="+url.QueryEscape(name), nil, &found)
	if len(found) != 1 {
		k.t.Fatalf("Keycloak: %d users %s", len(found), name)
	}
	return found[0].ID
}
