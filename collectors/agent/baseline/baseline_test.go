package baseline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/collectors/fleet/wire"
	items "icewatch/soc/exposure/baseline"
)

// place writes a host's files below a folder and answers it.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "/passwd") {
			if err := os.Chmod(full, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// weak is a host on which all is wrong, and hard its twin on which all is right.
var weak = map[string]string{
	"/etc/passwd":                "root:x:0:0::/root:/bin/bash\ntoor:x:0:0::/root:/bin/bash\n",
	"/etc/shadow":                "root:$6$x:1::::::\nguest::1::::::\n",
	"/etc/login.defs":            "# PASS_MAX_DAYS 90\nPASS_MAX_DAYS\t99999\nUMASK 022\n",
	"/etc/pam.d/common-password": "password [success=1] pam_unix.so obscure\n", "/etc/pam.d/common-auth": "auth [success=1] pam_unix.so\n", "/etc/profile": "#TMOUT=900\nexport PATH\n",
	"/proc/sys/kernel/randomize_va_space": "0\n", "/proc/sys/net/ipv4/conf/all/accept_redirects": "1\n", "/proc/sys/net/ipv4/conf/all/accept_source_route": "1\n", "/proc/sys/net/ipv4/tcp_syncookies": "0\n",
	"/etc/inetd.conf":                         "#ftp x\ntelnet stream tcp nowait root /usr/sbin/tcpd\n",
	"/etc/ssh/sshd_config":                    "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\nMaxAuthTries 10\nHostbasedAuthentication yes\nCiphers aes256-ctr,3des-cbc\nMatch User x\n  ClientAliveInterval 300\n",
	"/etc/ssh/sshd_config.d/10.conf":          "PermitRootLogin yes\nPermitEmptyPasswords yes\n",
	"/etc/nginx/nginx.conf":                   "user root;\nhttp { include conf.d/*.conf; access_log off; ssl_protocols TLSv1 TLSv1.2; }\n",
	"/etc/nginx/conf.d/a.conf":                "server { location /files { autoindex on; } } # server_tokens off;\n",
	"/etc/mysql/my.cnf":                       "[client]\nuser=root\n!includedir /etc/mysql/conf.d/\n",
	"/etc/mysql/conf.d/s.cnf":                 "[mysqld]\nskip-grant-tables\nbind-address = 0.0.0.0\nlocal_infile=1\nuser=root\nsecure-file-priv=\"\"\n",
	"/etc/postgresql/15/main/postgresql.conf": "#ssl = on\nlisten_addresses = '*' # all\npassword_encryption = md5\nssl = off\n",
	"/etc/postgresql/15/main/pg_hba.conf":     "local all all trust\nhost all all 0.0.0.0/0 md5\nhost all all 127.0.0.1/32 scram-sha-256\n",
	"/etc/redis/redis.conf":                   "# requirepass x\nrequirepass secret-1\nbind 0.0.0.0 -::*\nprotected-mode no\n",
	"/etc/redis/other.conf":                   "protected-mode yes\n",
	"/etc/docker/daemon.json":                 `{"hosts":["unix:///run/docker.sock","tcp://0.0.0.0:2375"],"insecure-registries":["10.0.0.5:5000"]}`,
	"/run/docker.sock":                        "",
}

var hard = map[string]string{
	"/etc/passwd": "root:x:0:0::/root:/bin/bash\nwww:x:33:33::/:/usr/sbin/nologin\n", "/etc/shadow": "root:$6$x:1::::::\nwww:*:1::::::\n", "/etc/login.defs": "PASS_MAX_DAYS 90\nUMASK 027\n",
	"/etc/security/pwquality.conf": "minlen = 12\n", "/etc/pam.d/common-auth": "auth required pam_faillock.so preauth\n", "/etc/profile.d/t.sh": "readonly TMOUT=900; export TMOUT\n",
	"/proc/sys/kernel/randomize_va_space": "2\n", "/proc/sys/net/ipv4/conf/all/accept_redirects": "0\n", "/proc/sys/net/ipv4/conf/all/accept_source_route": "0\n", "/proc/sys/net/ipv4/tcp_syncookies": "1\n",
	"/run/auditd.pid":                         "7\n",
	"/etc/ssh/sshd_config":                    "PermitRootLogin no\nMaxAuthTries 4\nClientAliveInterval 300\nCiphers -3des-cbc\n",
	"/etc/nginx/nginx.conf":                   "user www-data;\nhttp { server_tokens off; ssl_protocols TLSv1.2 TLSv1.3; log_format m '$x{';}\n",
	"/etc/my.cnf":                             "[mysqld]\nbind-address=127.0.0.1\nlocal-infile=0\nrequire_secure_transport=ON\nuser=mysql\n",
	"/etc/postgresql/15/main/postgresql.conf": "ssl = on\nlog_connections = on\nlisten_addresses = 'localhost'\n", "/etc/postgresql/15/main/pg_hba.conf": "local all all peer\nhostssl all app 10.0.0.8/32 scram-sha-256\nhost all all 0.0.0.0/0 reject\n",
	"/etc/redis/redis.conf":   "requirepass 0123456789abcdef0123\nbind 127.0.0.1 -::1\n",
	"/etc/docker/daemon.json": `{"icc":false,"live-restore":true,"userns-remap":"default","no-new-privileges":true}`, "/run/docker.sock": "",
}

// TestWeakHostAndItsTwin wants every item to fail on a host on which all is wrong, and
// to hold on its hardened twin; and that no password is told.
func TestWeakHostAndItsTwin(t *testing.T) {
	t.Parallel()
	root := place(t, weak)
	for path, mode := range map[string]os.FileMode{"/etc/shadow": 0o644, "/etc/passwd": 0o666, "/run/docker.sock": 0o666} {
		if err := os.Chmod(filepath.Join(root, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	failed := states(run(t.Context(), &host{root: root}), wire.BaselineFail)
	passed := states(run(t.Context(), &host{root: place(t, hard)}), wire.BaselinePass)
	for _, x := range items.Items() {
		// A length is measured of a password alone, so that one of both hosts has none.
		if x.ID == "redis.password" {
			continue
		}
		if !slices.Contains(failed, x.ID) {
			t.Errorf("%s does not fail on the weak host", x.ID)
		}
		if !slices.Contains(passed, x.ID) {
			t.Errorf("%s does not hold on the hardened host", x.ID)
		}
	}
	if got := states(run(t.Context(), &host{root: place(t, hard)}), wire.BaselineFail); len(got) != 0 {
		t.Errorf("the hardened host fails %v", got)
	}
	for _, c := range run(t.Context(), &host{root: root}) {
		if _, ok := items.Item(c.ID); !ok {
			t.Errorf("%s is not defined", c.ID)
		}
		if strings.Contains(c.Found, "secret-1") {
			t.Errorf("%+v tells a password", c)
		}
	}
}

func states(list []wire.BaselineCheck, state string) (out []string) {
	for _, c := range list {
		if c.State == state && !slices.Contains(out, c.ID) {
			out = append(out, c.ID)
		}
	}
	return out
}

// TestSettings are single settings, and what they come to.
func TestSettings(t *testing.T) {
	t.Parallel()
	said := func(text string) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { return []byte(text), nil }
	}
	for name, c := range map[string]struct {
		files map[string]string
		sshd  func(context.Context) ([]byte, error)
		id    string
		want  string
		found string
	}{
		"what sshd says counts before its file": {map[string]string{"/etc/ssh/sshd_config": "PermitRootLogin yes\n"}, said("permitrootlogin no\nmaxauthtries 4\n"), "ssh.root-login", wire.BaselinePass, "PermitRootLogin no"},
		"sshd does not run: its file counts":    {map[string]string{"/etc/ssh/sshd_config": "PermitRootLogin=yes\n"}, func(context.Context) ([]byte, error) { return nil, errors.New("no host keys") }, "ssh.root-login", wire.BaselineFail, "PermitRootLogin yes"},
		"the default of OpenSSH":                {map[string]string{"/etc/ssh/sshd_config": "\n"}, nil, "ssh.tries", wire.BaselineFail, "MaxAuthTries 6"},
		"a redis without password":              {map[string]string{"/etc/redis.conf": "bind 127.0.0.1\n"}, nil, "redis.password", wire.BaselineFail, "–"},
		"a redis with users":                    {map[string]string{"/etc/redis.conf": "bind 127.0.0.1\nuser default on >x ~* +@all\n"}, nil, "redis.password", wire.BaselinePass, "acl"},
		"a mask in pg_hba.conf":                 {map[string]string{"/etc/postgresql/9/a/postgresql.conf": "\n", "/etc/postgresql/9/a/pg_hba.conf": "host all all 0.0.0.0 0.0.0.0 md5\n"}, nil, "postgresql.anywhere", wire.BaselineFail, "host all all 0.0.0.0/0.0.0.0"},
		"a file elsewhere":                      {map[string]string{"/etc/postgresql/9/a/postgresql.conf": "hba_file='/srv/hba'\n", "/srv/hba": "local all all trust\n"}, nil, "postgresql.trust", wire.BaselineFail, "local all all local"},
		"what ALTER SYSTEM wrote":               {map[string]string{"/etc/postgresql/9/a/postgresql.conf": "ssl=off\ndata_directory='/srv/d'\n", "/srv/d/postgresql.auto.conf": "ssl = 'on'\n"}, nil, "postgresql.tls", wire.BaselinePass, "ssl on"},
		"a daemon.json that is none":            {map[string]string{"/etc/docker/daemon.json": "{"}, nil, "docker.tcp", wire.BaselineUnknown, "/etc/docker/daemon.json: unexpected end of JSON input"},
		"no shadow that can be read":            {map[string]string{"/etc/passwd": "root:x:0:0\n"}, nil, "linux.empty-password", wire.BaselineUnknown, "/etc/shadow: no such file or directory"},
		"quotes in nginx":                       {map[string]string{"/etc/nginx/nginx.conf": `user "www; autoindex"; http { add_header x "a}b"; autoindex on; }`}, nil, "nginx.listing", wire.BaselineFail, "/etc/nginx/nginx.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := run(t.Context(), &host{root: place(t, c.files), sshd: c.sshd})
			at := slices.IndexFunc(list, func(x wire.BaselineCheck) bool { return x.ID == c.id })
			if at < 0 || list[at].State != c.want || list[at].Found != c.found {
				t.Errorf("%+v; want %s %q", list, c.want, c.found)
			}
		})
	}
	if got := run(t.Context(), &host{root: t.TempDir()}); len(got) != 0 {
		t.Errorf("a host that has nothing: %+v", got)
	}
}

// FuzzFiles feeds one text to every reader: none may fall over it, or run away.
func FuzzFiles(f *testing.F) {
	for _, text := range weak {
		f.Add([]byte(text))
	}
	f.Add([]byte("include /etc/nginx/*;include nginx.conf;"))
	f.Add([]byte("Include /etc/ssh/*\n!includedir /etc\n!include /etc/my.cnf\n[mysqld]\n"))
	paths := []string{"/etc/passwd", "/etc/shadow", "/etc/login.defs", "/etc/pam.d/sshd", "/etc/profile", "/etc/inetd.conf", "/etc/xinetd.d/rsh", "/etc/ssh/sshd_config", "/etc/nginx/nginx.conf", "/etc/my.cnf", "/etc/postgresql/1/a/postgresql.conf", "/etc/postgresql/1/a/pg_hba.conf", "/etc/redis.conf", "/etc/docker/daemon.json"}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := map[string]string{}
		for _, p := range paths {
			files[p] = string(data)
		}
		for _, c := range run(t.Context(), &host{root: place(t, files), sshd: func(context.Context) ([]byte, error) { return data, nil }}) {
			if c.ID == "" || c.State == "" || len(c.Found) > maxFound {
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestThisHost runs on the machine itself: it must end, whatever it finds.
func TestThisHost(t *testing.T) {
	t.Parallel()
	for _, c := range Run(t.Context(), "/") {
		if _, ok := items.Item(c.ID); !ok {
			t.Errorf("%+v is not defined", c)
		}
	}
}
