package containers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"icewatch/collectors/fleet/wire"
)

// pods asks the kubelet of this host for its pods: without sign-in where it offers that, else as
// the service account of the pod that the agent runs in. Nothing where it cannot be asked.
func (p Places) pods(ctx context.Context) ([]wire.Container, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if p.Kubelet != "" {
		list, err := askPods(ctx, client, p.Kubelet, "")
		if !absent(err) {
			return list, err
		}
	}
	token, err := os.ReadFile(filepath.Join(p.Account, "token"))
	if err != nil || p.Secure == "" {
		return nil, nil //nolint:nilerr // The agent is no pod.
	}
	ca, err := os.ReadFile(filepath.Join(p.Account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("the authority of the cluster: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}
	list, err := askPods(ctx, client, p.Secure, strings.TrimSpace(string(token)))
	if absent(err) {
		return nil, nil
	}
	return list, err
}

// absent tells that nothing listens there.
func absent(err error) bool {
	var o *net.OpError
	return errors.As(err, &o) && o.Op == "dial"
}

func askPods(ctx context.Context, client *http.Client, base, token string) ([]wire.Container, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/pods", nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the kubelet: %w", err)
	}
	defer resp.Body.Close()
	if !ok(resp) {
		return nil, fmt.Errorf("the kubelet at %s answered %s", base, resp.Status)
	}
	return readPods(io.LimitReader(resp.Body, maxAnswer))
}

// podState is the state of a container in a pod's status.
type podState struct {
	Running    *struct{ StartedAt time.Time }
	Waiting    *struct{ Reason string }
	Terminated *struct {
		ExitCode              int
		Reason                string
		StartedAt, FinishedAt time.Time
	}
}

// readPods reads a PodList (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).
func readPods(r io.Reader) ([]wire.Container, error) {
	var pods struct {
		Kind  string
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Spec     struct {
				Containers []struct {
					Name  string
					Ports []struct {
						ContainerPort, HostPort int
						Protocol                string
					}
				}
			}
			Status struct {
				PodIP             string
				ContainerStatuses []struct {
					Name, Image, ContainerID string
					RestartCount             int
					Ready                    bool
					State                    podState
				}
			}
		}
	}
	if err := json.NewDecoder(r).Decode(&pods); err != nil {
		return nil, fmt.Errorf("the kubelet's pods: %w", err)
	}
	if pods.Kind != "PodList" {
		return nil, fmt.Errorf("the kubelet answered a %.40q, not a PodList", pods.Kind)
	}
	out := []wire.Container{}
	for _, pod := range pods.Items {
		for _, s := range pod.Status.ContainerStatuses {
			if len(out) >= maxContainers {
				return out, nil
			}
			_, id, _ := strings.Cut(s.ContainerID, "://")
			w := wire.Container{ID: cut(id), Name: cut(s.Name), Image: cut(s.Image), Engine: "kubernetes", Pod: cut(pod.Metadata.Name), Namespace: cut(pod.Metadata.Namespace), Restarts: s.RestartCount, State: "waiting"}
			if id == "" {
				w.ID = cut(pod.Metadata.Namespace + "/" + pod.Metadata.Name + "/" + s.Name) // It never began.
			}
			if pod.Status.PodIP != "" {
				w.Addresses = []string{cut(pod.Status.PodIP)}
			}
			switch {
			case s.State.Running != nil:
				w.State, w.Started = "running", s.State.Running.StartedAt.Unix()
				if w.Health = "healthy"; !s.Ready {
					w.Health = "unhealthy"
				}
			case s.State.Terminated != nil:
				w.State, w.ExitCode, w.Reason, w.Started = "exited", s.State.Terminated.ExitCode, cut(s.State.Terminated.Reason), max(s.State.Terminated.StartedAt.Unix(), 0)
			case s.State.Waiting != nil:
				w.Reason = cut(s.State.Waiting.Reason)
			}
			for _, c := range pod.Spec.Containers {
				if c.Name != s.Name {
					continue
				}
				for _, port := range c.Ports[:min(len(c.Ports), maxServices)] {
					x := wire.ContainerService{Protocol: strings.ToLower(cut(port.Protocol)), Port: port.ContainerPort}
					if x.Protocol == "" {
						x.Protocol = "tcp"
					}
					if port.HostPort > 0 {
						x.Published = fmt.Sprintf(":%d", port.HostPort)
						w.Ports = append(w.Ports, fmt.Sprintf(":%d->%d/%s", port.HostPort, port.ContainerPort, x.Protocol))
					} else {
						w.Ports = append(w.Ports, fmt.Sprintf("%d/%s", port.ContainerPort, x.Protocol))
					}
					w.Services = append(w.Services, x)
				}
			}
			out = append(out, w)
		}
	}
	return out, nil
}

// logName is POD_NAMESPACE_CONTAINER-ID.log, as the kubelet names the log of a container.
var logName = regexp.MustCompile(`^([^_]{1,253})_([^_]{1,253})_(.{1,253})-([0-9a-f]{64})\.log$`)

// logs are the containers that the kubelet keeps logs of; whether they run /proc tells.
func (p Places) logs() (out []wire.Container) {
	list, err := os.ReadDir(p.Logs)
	if err != nil {
		return nil
	}
	for _, f := range list {
		if m := logName.FindStringSubmatch(f.Name()); m != nil && len(out) < maxContainers {
			out = append(out, wire.Container{ID: m[4], Name: m[3], Pod: m[1], Namespace: m[2], Engine: "kubernetes"})
		}
	}
	return out
}
