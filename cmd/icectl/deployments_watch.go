package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"icewatch/soc/client"
)

// protected tells whether a private key wants a passphrase. What is no key is the server's to refuse.
func protected(text []byte) bool {
	_, err := ssh.ParseRawPrivateKey(text)
	var missing *ssh.PassphraseMissingError
	return errors.As(err, &missing)
}

// knownHosts tells whether a file known_hosts has the key of a host; nil knows none.
type knownHosts func(address string, key ssh.PublicKey) error

// readKnownHosts reads a file as ssh keeps it; "" is none.
func readKnownHosts(path string) (knownHosts, error) {
	if path == "" {
		return nil, nil
	}
	check, err := knownhosts.New(path)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return func(address string, key ssh.PublicKey) error {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		// The file may have the host by its name or its address: what was ordered is what is looked for.
		remote := &net.TCPAddr{IP: net.ParseIP(host)}
		if remote.IP == nil {
			remote.IP = net.IPv4zero
		}
		_, _ = fmt.Sscan(port, &remote.Port)
		return check(address, remote, key)
	}, nil
}

// trustedOf are the keys that hosts wait with and a file knows, and what is wrong with the others.
func trustedOf(targets []deploymentHost, known knownHosts) (keys []map[string]string, wrong map[string]string) {
	wrong = map[string]string{}
	for _, h := range targets {
		if h.State != "key-unknown" || h.Key == nil || known == nil {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.Key.Line))
		if err == nil && ssh.FingerprintSHA256(key) != h.Key.Fingerprint {
			err = errors.New("the server's key and fingerprint are not of one another")
		}
		if err == nil {
			err = known(h.Address, key)
		}
		var other *knownhosts.KeyError
		switch {
		case err == nil:
			keys = append(keys, map[string]string{"address": h.Address, "fingerprint": h.Key.Fingerprint})
		case errors.As(err, &other) && len(other.Want) == 0:
			wrong[h.Address] = "the file of known hosts does not have it; its key is " + h.Key.Type + " " + h.Key.Fingerprint
		case errors.As(err, &other):
			wrong[h.Address] = "the file of known hosts has another key for it: another host may stand in its place"
		default:
			wrong[h.Address] = err.Error()
		}
	}
	return keys, wrong
}

type deploymentsTrustCmd struct {
	ID         string   `arg:"" help:"Id of the deployment."`
	Key        []string `arg:"" optional:"" help:"HOST:PORT=FINGERPRINT, as it was compared on the host."`
	KnownHosts string   `name:"known-hosts" help:"File of known hosts, as ssh keeps it; keys that it has are trusted." type:"existingfile" placeholder:"FILE"`
}

// Run trusts keys.
func (t *deploymentsTrustCmd) Run(a *app) error {
	if (len(t.Key) == 0) == (t.KnownHosts == "") {
		return usageError("which keys: want --known-hosts FILE or HOST:PORT=FINGERPRINT")
	}
	var keys []map[string]string
	for _, text := range t.Key {
		address, fingerprint, ok := strings.Cut(text, "=")
		if !ok || !strings.HasPrefix(fingerprint, "SHA256:") {
			return usageError(fmt.Sprintf("%q: HOST:PORT=SHA256:… was expected", text))
		}
		keys = append(keys, map[string]string{"address": address, "fingerprint": fingerprint})
	}
	known, err := readKnownHosts(t.KnownHosts)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	path := deploymentPath(t.ID)
	var wrong map[string]string
	if known != nil {
		var d deploymentLine
		if err := c.Get(a.ctx, path, nil, &d); err != nil {
			return err
		}
		keys, wrong = trustedOf(d.Targets, known)
	}
	for _, address := range slices.Sorted(maps.Keys(wrong)) {
		fmt.Fprintf(a.stderr, "%s: %s\n", plain(address), plain(wrong[address]))
	}
	if len(keys) > 0 {
		if err := c.JSON(a.ctx, http.MethodPost, path+"/trust", nil, map[string]any{"keys": keys}, nil); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "%d keys trusted\n", len(keys))
	if len(wrong) > 0 {
		return findings(len(wrong))
	}
	return nil
}

type deploymentsWatchCmd struct {
	ID         string `arg:"" help:"Id of the deployment."`
	KnownHosts string `name:"known-hosts" help:"Trust keys that this file has, as ssh keeps it." type:"existingfile" placeholder:"FILE"`
}

// Run watches a deployment.
func (w *deploymentsWatchCmd) Run(a *app) error {
	known, err := readKnownHosts(w.KnownHosts)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	return a.watchDeployment(c, w.ID, known)
}

// watchEvery is how often a deployment is looked at.
const watchEvery = time.Second

// watchDeployment tells of each host as it goes on. Hosts whose keys are known are trusted; it
// ends, too, when all that is left waits for somebody to look at keys.
func (a *app) watchDeployment(c *client.Client, id string, known knownHosts) error {
	told := map[string]string{}
	for {
		var d deploymentLine
		if err := c.Get(a.ctx, deploymentPath(id), nil, &d); err != nil {
			return err
		}
		for i := range d.Targets {
			h := &d.Targets[i]
			line := h.state() + "  " + h.detail()
			if told[h.Address] == line || h.State == "waiting" {
				continue
			}
			told[h.Address] = line
			if a.cli.Output == "json" {
				if err := a.printJSON(map[string]any{"deployment": d.ID, "address": h.Address, "state": h.State, "step": h.Step, "text": h.Text, "agent": h.Agent, "at": h.At}); err != nil {
					return err
				}
			} else if _, err := fmt.Fprintf(a.stdout, "%s  %s  %s\n", when(h.At), plain(h.Address), plain(line)); err != nil {
				return err
			}
		}
		keys, wrong := trustedOf(d.Targets, known)
		if len(keys) > 0 {
			if err := c.JSON(a.ctx, http.MethodPost, deploymentPath(id)+"/trust", nil, map[string]any{"keys": keys}, nil); err != nil {
				return err
			}
		}
		switch unknown := d.States["key-unknown"]; {
		case !d.Ended.IsZero():
			fmt.Fprintf(a.stderr, "%s  %s\n", plain(d.ID), d.counts())
			if d.States["done"] == d.Hosts {
				return nil
			}
			return findings(d.Hosts - d.States["done"])
		case unknown > 0 && len(keys) == 0 && d.States["running"]+d.States["waiting"] == 0:
			for _, address := range slices.Sorted(maps.Keys(wrong)) {
				fmt.Fprintf(a.stderr, "%s: %s\n", plain(address), plain(wrong[address]))
			}
			fmt.Fprintf(a.stderr, "%s  %s\n", plain(d.ID), d.counts())
			return fmt.Errorf("%d hosts wait until somebody has compared their keys: icectl deployments trust %s", unknown, d.ID)
		}
		select {
		case <-a.ctx.Done():
			return a.ctx.Err()
		case <-time.After(watchEvery):
		}
	}
}
