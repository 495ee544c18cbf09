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

	t    testing.TB
	args []string // program and arguments
	cmd  *exec.Cmd
	done <-chan error
}

// StartKafka starts a Kafka. It is looked for where kafka.sh puts it, or in the
// folder of jars that ICEWATCH_KAFKA names.
func StartKafka(t testing.TB) *Kafka {
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
	text := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]s
listeners=PLAINTEXT://127.0.0.1:%[1]s,CONTROLLER://127.0.0.1:%[2]s
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
num.partitions=1
`, port, controller, filepath.Join(dir, "data"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(jars, "*")
	run(t, "", java, "-cp", path, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config)
	k.args = []string{java, "-Xmx256m", "-cp", path, "kafka.Kafka", config}
	k.Start()
	return k
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
