package peers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Apache is a running Apache httpd whose mod_auth_openidc, a certified OpenID
// relying party, signs people in before it shows anything.
type Apache struct {
	URL string // of the web server
}

// ApacheCallback is where mod_auth_openidc takes codes in, below the server's
// URL.
const ApacheCallback = "/protected/callback"

// StartApache starts one on the port. It shows /protected/ to every user of the
// provider and /protected/role/ to those whose claim "roles" holds the role.
// What it shows is the CGI environment that the module set: the claims.
func StartApache(t testing.TB, port, discovery, clientID, clientSecret, role string) *Apache {
	t.Helper()
	apache := Program(t, "apache2")
	modules := "/usr/lib/apache2/modules"
	if _, err := os.Stat(filepath.Join(modules, "mod_auth_openidc.so")); err != nil {
		Missing(t, "libapache2-mod-auth-openidc is not installed")
	}
	dir := t.TempDir()
	docs := filepath.Join(dir, "docs", "protected")
	if err := os.MkdirAll(filepath.Join(docs, "role"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Whatever user httpd becomes, it must be able to read them.
	for d := dir; strings.HasPrefix(d, os.TempDir()) && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	page := "user=<!--#echo var=\"REMOTE_USER\" --> name=<!--#echo var=\"OIDC_CLAIM_name\" --> roles=<!--#echo var=\"OIDC_CLAIM_roles\" -->\n"
	for _, f := range []string{"index.shtml", "role/index.shtml"} {
		if err := os.WriteFile(filepath.Join(docs, f), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := &Apache{URL: "http://127.0.0.1:" + port}
	conf := filepath.Join(dir, "httpd.conf")
	var b strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "dir", "include", "mime", "env", "setenvif", "auth_openidc"} {
		fmt.Fprintf(&b, "LoadModule %s_module %s/mod_%s.so\n", m, modules, m)
	}
	fmt.Fprintf(&b, `ServerName 127.0.0.1
ServerRoot %[1]s
Listen 127.0.0.1:%[2]s
PidFile %[1]s/pid
Mutex sem default
User nobody
Group nogroup
ErrorLog /dev/stderr
LogLevel warn
TypesConfig /dev/null
DocumentRoot %[1]s/docs
DirectoryIndex index.shtml
OIDCProviderMetadataURL %[3]s
OIDCClientID %[4]s
OIDCClientSecret %[5]s
OIDCRedirectURI %[6]s%[7]s
OIDCCryptoPassphrase a-passphrase-of-this-test
OIDCScope "openid profile roles offline_access"
OIDCPKCEMethod S256
OIDCRemoteUserClaim preferred_username
OIDCCookieSameSite Off
<Directory %[1]s/docs>
  Options +Includes
  AddType text/html .shtml
  AddOutputFilter INCLUDES .shtml
</Directory>
<Location /protected>
  AuthType openid-connect
  Require valid-user
</Location>
<Location /protected/role>
  AuthType openid-connect
  Require claim roles:%[8]s
</Location>
`, dir, port, discovery, clientID, clientSecret, a.URL, ApacheCallback, role)
	if err := os.WriteFile(conf, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, exited := start(t, exec.Command(apache, "-D", "FOREGROUND", "-f", conf))
	await(t, 20*time.Second, "apache2", log, exited, func() error {
		resp, err := http.Get(a.URL + "/nothing")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.tail())
		}
	})
	return a
}
