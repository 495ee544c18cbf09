package inputs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/influxdata/telegraf"

	"icewatch/collectors/agent/eventlog"
	"icewatch/collectors/agent/link"
	"icewatch/soc/intake"
)

// Events is where inputs put that gather events and not figures. They are given to the sink
// until it takes them: the plug-in waits meanwhile, and its source keeps what is not read.
type Events struct {
	Sink intake.Sink
	Dir  string // where it is written down how far inputs have read
}

// eventsOf makes records of what plug-ins gather that gather events.
var eventsOf = map[string]func(telegraf.Metric) (intake.Record, bool){eventlog.Plugin: eventlog.Record}

// Bounds of what an input gives to the sink at once.
const (
	eventsAtOnce = 500
	eventsBytes  = 1 << 20
)

// eventsAgain is how long an input waits before it gives events again that were not taken.
const eventsAgain = time.Second

// reading is how far an input of events is.
type reading struct {
	to      *Events
	make    func(telegraf.Metric) (intake.Record, bool)
	ctx     context.Context //nolint:containedctx // that of the input's loop; the plug-in's interface has none
	pending []intake.Record
	bytes   int
	given   uint64
	torn    bool // events were left behind: what was read before is the state that counts
	saved   []byte
}

// readEvents makes an input of events ready: it goes on where it was.
func (i *Input) readEvents(ctx context.Context) error {
	if i.out.Events == nil || eventsOf[i.in.Plugin] == nil {
		return nil
	}
	i.reading = &reading{to: i.out.Events, make: eventsOf[i.in.Plugin], ctx: ctx}
	plugin, ok := i.running.Input.(telegraf.StatefulPlugin)
	if !ok {
		return nil
	}
	text, err := os.ReadFile(i.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var kept struct{ State any }
	if err == nil {
		if err = json.Unmarshal(text, &kept); err == nil {
			err = plugin.SetState(kept.State)
		}
	}
	if err != nil {
		return fmt.Errorf("how far it has read (%s): %w; without the file it begins anew", i.statePath(), err)
	}
	i.reading.saved = text
	return nil
}

// statePath is the file that says how far the input has read. It goes by the input's name.
func (i *Input) statePath() string {
	sum := sha256.Sum256([]byte(i.in.Plugin + "\x00" + i.in.Name))
	return filepath.Join(i.out.Events.Dir, hex.EncodeToString(sum[:12])+".json")
}

// event takes one in. It waits where the sink takes nothing.
func (i *Input) event(m telegraf.Metric) {
	r, ok := i.reading.make(m)
	if !ok {
		i.trouble(errors.New("an event has neither channel nor number, and is left out"))
		return
	}
	for k, v := range i.in.Labels {
		r.Attrs = append(r.Attrs, intake.Attr{Name: "labels." + k, Value: v})
	}
	i.reading.pending = append(i.reading.pending, r)
	if i.reading.bytes += len(r.Data); len(i.reading.pending) >= eventsAtOnce || i.reading.bytes >= eventsBytes {
		i.deliver()
	}
}

// deliver gives what is pending to the sink until it takes it or the input ends.
func (i *Input) deliver() {
	r := i.reading
	for len(r.pending) > 0 && !r.torn {
		err := r.to.Sink.Append(r.ctx, r.pending)
		if err == nil {
			r.given += uint64(len(r.pending))
			i.mu.Lock()
			i.samples += uint64(len(r.pending))
			i.bytes += uint64(r.bytes)
			i.mu.Unlock()
			break
		}
		if r.ctx.Err() != nil || errors.Is(err, intake.ErrClosed) {
			r.torn = true
			break
		}
		if !errors.Is(err, intake.ErrFull) {
			i.trouble(err)
		}
		select {
		case <-r.ctx.Done():
			r.torn = true
		case <-time.After(eventsAgain):
		}
	}
	clear(r.pending)
	r.pending, r.bytes = r.pending[:0], 0
}

// remember writes down how far the input has read, when all of that is durable. An input that has
// read nothing yet has nothing to go on from.
func (i *Input) remember() {
	i.deliver()
	r := i.reading
	plugin, ok := i.running.Input.(telegraf.StatefulPlugin)
	if !ok || r.torn || r.given == 0 {
		return
	}
	text, err := json.Marshal(map[string]any{"input": i.in.Name, "plugin": i.in.Plugin, "state": plugin.GetState()})
	if err == nil && bytes.Equal(text, r.saved) {
		return
	}
	if err == nil {
		if err = os.MkdirAll(r.to.Dir, 0o700); err == nil {
			err = link.WriteFile(i.statePath(), text, 0o600)
		}
	}
	if err != nil {
		i.trouble(fmt.Errorf("how far it has read is not written down: %w", err))
		return
	}
	r.saved = text
}
