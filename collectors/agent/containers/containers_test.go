package containers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"icewatch/collectors/fleet/wire"
)

// TestMain is a server, too: the test begins itself under another name in another network.
func TestMain(m *testing.M) {
	if at := os.Getenv("ICEWATCH_TEST_LISTEN"); at != "" {
		listen(at)
		return
	}
	os.Exit(m.Run())
}

// listen serves at an address, TCP and UDP, until its input ends.
func listen(at string) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		panic(err)
	}
	u, err := net.ListenPacket("udp", at)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_, _ = l.Close(), u.Close()
}

// serveOn answers requests by path on a socket of the file system, as engines do.
func serveOn(t *testing.T, answers map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := answers[r.URL.Path]; ok {
			_, _ = io.WriteString(w, a)
			return
		}
		http.NotFound(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return path
}

const id1, id2, id3 = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222", "3333333333333333333333333333333333333333333333333333333333333333"

// engineAnswers are in the shape of the published API (version 1.41), which podman 4.3.1 gave of a
// container of ours, too.
var engineAnswers = map[string]string{
	"/version": `{"Components":[{"Name":"Podman Engine","Version":"4.3.1"},{"Name":"Conmon"}],"Version":"4.3.1","ApiVersion":"1.41"}`,
	"/containers/json": `[{"Id":"` + id1 + `","Names":["/db"],"Image":"docker.io/library/postgres:16.4-bookworm","State":"running","Status":"Up 16 seconds","Labels":{},
		"Ports":[{"IP":"0.0.0.0","PrivatePort":5432,"PublicPort":15432,"Type":"tcp"},{"IP":"::","PrivatePort":5432,"PublicPort":15432,"Type":"tcp"},{"PrivatePort":9187,"Type":"tcp"}],"NetworkSettings":{"Networks":null},"Config":null},
		{"Id":"` + id2 + `","Names":["/job"],"Image":"busybox","State":"exited","Labels":null,"Ports":[]},
		{"Id":"` + id3 + `","Names":["/k8s_POD_x"],"Image":"pause","State":"running","Labels":{"io.kubernetes.docker.type":"podsandbox"}}]`,
	"/containers/" + id1 + "/json": `{"RestartCount":2,"State":{"Status":"running","Pid":0,"ExitCode":0,"StartedAt":"2026-11-27T17:04:01.451353017Z","Health":{"Status":"healthy"}},"NetworkSettings":{"IPAddress":"","Networks":{"net":{"IPAddress":"10.88.0.3","GlobalIPv6Address":""}}}}`,
	"/containers/" + id2 + "/json": `{"State":{"Status":"exited","Pid":0,"ExitCode":137,"OOMKilled":true,"StartedAt":"0001-01-01T00:00:00Z"}}`,
}

func TestEngine(t *testing.T) {
	t.Parallel()
	p := Places{Sockets: []string{"/nonexistent", serveOn(t, engineAnswers)}, Proc: t.TempDir()}
	got, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.Container{
		{ID: id1, Name: "db", Image: "docker.io/library/postgres:16.4-bookworm", State: "running", Engine: "podman", Health: "healthy", Started: 1795799041, Restarts: 2, Addresses: []string{"10.88.0.3"}, Service: "postgresql", Version: "16.4",
			Ports:    []string{"0.0.0.0:15432->5432/tcp", "[::]:15432->5432/tcp", "9187/tcp"},
			Services: []wire.ContainerService{{Protocol: "tcp", Port: 5432, Published: "0.0.0.0:15432, [::]:15432", Service: "postgresql", Version: "16.4"}, {Protocol: "tcp", Port: 9187}}},
		{ID: id2, Name: "job", Image: "busybox", State: "exited", Engine: "podman", ExitCode: 137, Reason: "out of memory"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for path, answer := range map[string]string{"/containers/json": "{", "/version": "[]"} {
		bad := map[string]string{"/version": engineAnswers["/version"], path: answer}
		if got, err := (Places{Sockets: []string{serveOn(t, bad)}}).Read(t.Context()); err == nil || len(got) != 0 || !strings.Contains(err.Error(), "the container engine at") {
			t.Errorf("%s: %v %v", path, got, err)
		}
	}
	if got, err := (Places{}).Read(t.Context()); got != nil || err != nil {
		t.Errorf("%v %v", got, err)
	}
}

// podList is a PodList by the published schema.
const podList = `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"web-7d9f8b6c54-x2x8q","namespace":"shop"},
	"spec":{"nodeName":"n1","containers":[{"name":"web","image":"nginx:1.27","ports":[{"containerPort":80,"hostPort":8080,"protocol":"TCP"}]},{"name":"cache","image":"redis:7"}]},
	"status":{"phase":"Running","podIP":"10.244.1.7","containerStatuses":[
		{"name":"web","image":"nginx:1.27","containerID":"containerd://` + id1 + `","ready":true,"restartCount":3,"state":{"running":{"startedAt":"2026-11-27T17:04:01Z"}}},
		{"name":"cache","image":"redis:7","containerID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff"}}},
		{"name":"init","image":"busybox","containerID":"containerd://` + id2 + `","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":1,"reason":"Error","startedAt":"2026-11-27T17:04:01Z"}}}]}}]}`

func TestPods(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	// A process of the first one, as control groups of version 1 and 2 name it.
	if err := os.MkdirAll(filepath.Join(proc, "4711"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "4711", "cgroup"), []byte("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-"+id1+".scope\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pods" {
			_, _ = io.WriteString(w, podList)
		}
	}))
	t.Cleanup(kubelet.Close)
	got, err := Places{Kubelet: kubelet.URL, Proc: proc}.Read(t.Context())
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	by := map[string]wire.Container{}
	for _, c := range got {
		by[c.Name] = c
	}
	web, cache, first := by["web"], by["cache"], by["init"]
	if web.ID != id1 || web.State != "running" || web.Pod != "web-7d9f8b6c54-x2x8q" || web.Namespace != "shop" || web.Restarts != 3 || web.Health != "healthy" || web.PID != 4711 || web.Addresses[0] != "10.244.1.7" ||
		web.Service != "nginx" || web.Version != "1.27" || len(web.Services) != 1 || web.Services[0] != (wire.ContainerService{Protocol: "tcp", Port: 80, Published: ":8080", Service: "nginx", Version: "1.27"}) {
		t.Errorf("%+v", web)
	}
	if cache.State != "waiting" || cache.Reason != "ImagePullBackOff" || cache.ID != "shop/web-7d9f8b6c54-x2x8q/cache" || first.State != "exited" || first.ExitCode != 1 || len(first.Services) != 0 {
		t.Errorf("%+v %+v", cache, first)
	}

	// Without a kubelet that answers, the names of logs tell what there is, and /proc whether it runs.
	logs := t.TempDir()
	for _, n := range []string{"web-7d9f8b6c54-x2x8q_shop_web-" + id1 + ".log", "old_shop_job-" + id2 + ".log", "other.log"} {
		if err := os.WriteFile(filepath.Join(logs, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A port that was closed may be another test's by now; nobody listens on the first.
	got, err = Places{Kubelet: "http://127.0.0.1:1", Proc: proc, Logs: logs}.Read(t.Context())
	if err != nil || len(got) != 2 || got[0].Name != "job" || got[0].State != "exited" || got[1].State != "running" || got[1].Pod != "web-7d9f8b6c54-x2x8q" || got[1].PID != 4711 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := readPods(strings.NewReader(`{"kind":"Status","message":"Forbidden"}`)); err == nil || !strings.Contains(err.Error(), "PodList") {
		t.Error(err)
	}
}

// TestListeningInAnotherNetwork finds what a real process listens on in a real network namespace of its own.
func TestListeningInAnotherNetwork(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "redis-server")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, name); err != nil {
		data, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(name, data, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), name)
	cmd.Env = []string{"ICEWATCH_TEST_LISTEN=0.0.0.0:6379"}
	ownNetwork(t, cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		noNetwork(t, err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	answers := map[string]string{"/version": `{"Components":[{"Name":"Engine"}]}`,
		"/containers/json":             `[{"Id":"` + id1 + `","Names":["/cache"],"Image":"valkey/valkey:8.0.1","State":"running","Ports":[{"IP":"127.0.0.1","PrivatePort":6379,"PublicPort":16379,"Type":"tcp"}]}]`,
		"/containers/" + id1 + "/json": fmt.Sprintf(`{"State":{"Pid":%d}}`, cmd.Process.Pid)}
	got, err := Places{Sockets: []string{serveOn(t, answers)}, Proc: "/proc"}.Read(t.Context())
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	want := []wire.ContainerService{
		{Protocol: "tcp", Address: "::", Port: 6379, Published: "127.0.0.1:16379", PID: cmd.Process.Pid, Process: "redis-server", Service: "redis", Version: "8.0.1", Listening: true},
		{Protocol: "udp", Address: "::", Port: 6379, PID: cmd.Process.Pid, Process: "redis-server", Service: "redis", Version: "8.0.1", Listening: true},
	}
	if c := got[0]; c.Engine != "docker" || !reflect.DeepEqual(c.Services, want) {
		t.Errorf("%+v\nwant %+v", c.Services, want)
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{"postgres": "postgresql ", "registry.gov.cn:5000/db/postgres:16.4-alpine@sha256:00": "postgresql 16.4", "redis:latest": "redis ", "bitnami/kafka:3.9.0": "kafka 3.9.0", "nginx:v1.27.": "nginx 1.27", "ours:1": " ", "": " ", "MYSQL:8": "mysql 8"} {
		if s, v := Image(image); s+" "+v != want {
			t.Errorf("%s: %q %q", image, s, v)
		}
	}
	for line, want := range map[string]string{"Nginx.exe": "nginx", "java": "", "java -cp x org.apache.catalina.startup.Bootstrap start": "tomcat", "java kafka.Kafka server.properties": "kafka", "python3": ""} {
		f := strings.Fields(line)
		if got := ServiceOf(f[0], f[1:]); got != want {
			t.Errorf("%s: %q", line, got)
		}
	}
}

func FuzzPods(f *testing.F) {
	f.Add(podList)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = readPods(strings.NewReader(text)) })
}

func FuzzSockets(f *testing.F) {
	f.Add("  sl  local_address rem_address   st\n   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7030445 2 0 100 0 0 10 0\n")
	f.Add("   1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 12 2 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, protocol := range []string{"tcp", "udp"} {
			into := map[uint64]socket{}
			readSockets(bufio.NewScanner(strings.NewReader(text)), protocol, into)
			for inode, s := range into {
				if inode == 0 || s.local.Port() == 0 || !s.local.IsValid() {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
