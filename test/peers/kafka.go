package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Kafka is an Apache Kafka of one node (KRaft).
type Kafka struct {
	Address string // host:port
	// Secured is the host:port of a listener that wants TLS with a client's
	// certificate and SASL; it is there where StartSecuredKafka started it.
	Secured string

	t    testing.TB
	args []string // program and arguments
	cmd  *exec.Cmd
	done <-chan error
}

// StartKafka starts a Kafka. It is looked for where kafka.sh puts it, or in the
// folder of jars that ICEWATCH_KAFKA names.
func StartKafka(t testing.TB) *Kafka {
	t.Helper()
	return startKafka(t, nil, "", "")
}

// StartSecuredKafka starts one with a second listener, for the user alone, who
// may sign in by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. The authority signs the
// broker's certificate and the clients'.
func StartSecuredKafka(t testing.TB, a *Authority, user, password string) *Kafka {
	t.Helper()
	return startKafka(t, a, user, password)
}

func startKafka(t testing.TB, a *Authority, user, password string) *Kafka {
	t.Helper()
	jars := os.Getenv("ICEWATCH_KAFKA")
	if jars == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "kafka-*")); len(found) > 0 {
			jars = slices.Max(found)
		}
	}
	if jars == "" {
		Missing(t, "Kafka is not installed: test/peers/kafka.sh fetches it")
	}
	java := Program(t, "java")
	dir := t.TempDir()
	port, controller := FreePort(t), FreePort(t)
	k := &Kafka{Address: "127.0.0.1:" + port, t: t}
	config := filepath.Join(dir, "server.properties")
	listeners, protocols, secured := "", "", ""
	format := []string{"-cp", filepath.Join(jars, "*"), "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config}
	if a != nil {
		k.Secured = "127.0.0.1:" + FreePort(t)
		listeners, protocols, secured = ",SECURED://"+k.Secured, ",SECURED:SASL_SSL", secure(t, dir, a, user, password)
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			format = append(format, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, user, password))
		}
	}
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]s
listeners=PLAINTEXT://127.0.0.1:%[1]s,CONTROLLER://127.0.0.1:%[2]s%[4]s
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]s%[4]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT%[5]s
log.dirs=%[3]s
offsets.topic.replication.factor=1
num.partitions=1
group.initial.rebalance.delay.ms=0
%[6]s`, port, controller, filepath.Join(dir, "data"), listeners, protocols, secured)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(jars, "*")
	run(t, "", java, format...)
	k.args = []string{java, "-Xmx256m", "-cp", path, "kafka.Kafka", config}
	k.Start()
	return k
}

// secure writes the broker's certificate and returns the settings of the
// secured listener.
func secure(t testing.TB, dir string, a *Authority, user, password string) string {
	t.Helper()
	cert, key := a.Issue(t, dir)
	var pair []byte
	for _, name := range []string{key, cert} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pair = append(pair, text...)
	}
	store, trust := filepath.Join(dir, "broker.pem"), filepath.Join(dir, "ca.pem")
	for name, text := range map[string][]byte{store: pair, trust: []byte(a.PEM)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[1]s="%[2]s";
listener.name.secured.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.client.auth=required
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location=%[3]s
listener.name.secured.ssl.truststore.type=PEM
listener.name.secured.ssl.truststore.location=%[4]s
`, user, password, store, trust)
}

// Start starts it, again after Kill with what it had on the disk.
func (k *Kafka) Start() {
	k.t.Helper()
	k.cmd = exec.Command(k.args[0], k.args[1:]...)
	log, exited := start(k.t, k.cmd)
	k.done = exited
	await(k.t, time.Minute, "Kafka", log, exited, func() error {
		c, err := net.DialTimeout("tcp", k.Address, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Kill ends it at once, as a power cut would.
func (k *Kafka) Kill() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	<-k.done
}
