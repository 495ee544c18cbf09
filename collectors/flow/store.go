package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// What exporters announce only now and then (templates, rates of sampling,
// names of interfaces) is kept in a file, so that after a restart the first
// data set decodes.

const (
	storedVersion = 1
	// forgetAfter is how long an exporter that sends nothing is remembered.
	forgetAfter = 30 * 24 * time.Hour
	maxStored   = 64 << 20 // bytes of the file
)

type storedFile struct {
	Version  int             `json:"version"`
	Sessions []storedSession `json:"sessions"`
}

type storedSession struct {
	Peer       netip.Addr           `json:"peer"`
	Version    uint16               `json:"version"`
	Domain     uint32               `json:"domain"`
	Seen       time.Time            `json:"seen"`
	Sampling   uint32               `json:"sampling,omitempty"`
	Samplers   map[uint64]uint32    `json:"samplers,omitempty"`
	Interfaces map[uint32]string    `json:"interfaces,omitempty"`
	Templates  map[string]*template `json:"templates"`
}

// load reads the file. A missing one is an empty one; of a damaged one nothing
// is used, and the error says so.
func (d *decoder) load(path string) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && st.Size() > maxStored {
		err = fmt.Errorf("it has %d bytes; %d are the most", st.Size(), maxStored)
	}
	if err != nil {
		return fmt.Errorf("flow: templates: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("flow: templates: %w", err)
	}
	return d.restore(data)
}

// restore takes in what save wrote.
func (d *decoder) restore(data []byte) error {
	var f storedFile
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("flow: templates: %w", err)
	}
	if f.Version != storedVersion {
		return fmt.Errorf("flow: templates: the file is of version %d; %d is expected", f.Version, storedVersion)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range f.Sessions {
		if len(d.sessions) >= maxSessions || !in.Peer.IsValid() || in.Version != 9 && in.Version != 10 || d.now().Sub(in.Seen) > forgetAfter {
			continue
		}
		s := newSession(sessionKey{peer: in.Peer, version: in.Version, domain: in.Domain})
		s.seen, s.sampling, s.stats.Sampling = in.Seen, in.Sampling, in.Sampling
		for id, rate := range in.Samplers {
			if len(s.samplers) < maxSamplers && rate > 0 && rate < samplingIntervalMax {
				s.samplers[id] = rate
				s.stats.Sampling = rate
			}
		}
		for id, name := range in.Interfaces {
			if len(s.interfaces) < maxInterfaces && name != "" && len(name) <= maxInterfaceName {
				s.interfaces[id] = name
			}
		}
		for id, t := range in.Templates {
			n, err := strconv.ParseUint(id, 10, 16)
			if err == nil && n >= 256 && t != nil && len(t.Fields) <= maxFields && t.Scopes >= 0 && t.Scopes <= len(t.Fields) &&
				len(s.templates) < maxTemplates && t.prepare(in.Version) {
				s.templates[uint16(n)] = t
			}
		}
		d.sessions[s.key] = s
	}
	return nil
}

// save writes the file where something in it is new.
func (d *decoder) save(path string) error {
	d.mu.Lock()
	if !d.changed {
		d.mu.Unlock()
		return nil
	}
	f := storedFile{Version: storedVersion, Sessions: []storedSession{}}
	for _, s := range d.sessions {
		if len(s.templates) == 0 {
			continue
		}
		out := storedSession{Peer: s.key.peer, Version: s.key.version, Domain: s.key.domain, Seen: s.seen.UTC(), Sampling: s.sampling,
			Samplers: s.samplers, Interfaces: s.interfaces, Templates: map[string]*template{}}
		for id, t := range s.templates {
			out.Templates[strconv.Itoa(int(id))] = t
		}
		f.Sessions = append(f.Sessions, out)
	}
	data, err := json.Marshal(f) // within the lock: it reads the maps
	d.changed = false
	d.mu.Unlock()
	if err == nil {
		err = writeFile(path, data)
	}
	if err != nil {
		d.mu.Lock()
		d.changed = true
		d.mu.Unlock()
		return fmt.Errorf("flow: templates: %w", err)
	}
	return nil
}

// writeFile replaces a file, durably: whatever happens, the old or the new one
// is there whole.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".templates-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
