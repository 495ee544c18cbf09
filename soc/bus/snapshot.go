package bus

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
)

// Streams are the names of the streams on the disk, in the order in which a
// backup takes them. What steers the engine is published anew at each start.
var Streams = []string{rawStream, occurrenceStream, metricStream}

// StreamFolder is where the bus keeps a stream below its own folder. What
// Snapshot hands over for the stream and is put there is the stream, the next
// time the bus opens.
func StreamFolder(stream string) string { return path.Join("jetstream", "$G", "streams", stream) }

const (
	// snapshotChunk and snapshotWindow are how many bytes the server sends in
	// a message, and how many before it waits for us.
	snapshotChunk  = 256 << 10
	snapshotWindow = 4 << 20
	// snapshotSilence is how long the server may say nothing during a snapshot.
	snapshotSilence = 60 * time.Second
)

// Snapshot hands over the files of a stream as they stand while the stream
// goes on being written: its description and the blocks of messages. Messages
// that come meanwhile may be in it or not; none before them is missing. It
// returns where the stream stood when the snapshot began. Nothing may trim the
// stream meanwhile.
func (c *Client) Snapshot(ctx context.Context, stream string, each func(name string, size int64, r io.Reader) error) (State, error) {
	st, err := c.snapshot(ctx, stream, each)
	if err != nil {
		return State{}, fmt.Errorf("bus: snapshot of %s: %w", stream, err)
	}
	return st, nil
}

func (c *Client) snapshot(ctx context.Context, stream string, each func(name string, size int64, r io.Reader) error) (State, error) {
	inbox := nats.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return State{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, 2*snapshotWindow); err != nil {
		return State{}, err
	}
	req, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": snapshotChunk, "window_size": snapshotWindow})
	if err != nil {
		return State{}, err
	}
	asked, cancel := context.WithTimeout(ctx, snapshotSilence)
	defer cancel()
	reply, err := c.nc.RequestWithContext(asked, "$JS.API.STREAM.SNAPSHOT."+stream, req)
	if err != nil {
		return State{}, err
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
		Config struct {
			Metadata map[string]string `json:"metadata"`
		} `json:"config"`
		State struct {
			Messages uint64 `json:"messages"`
			Bytes    uint64 `json:"bytes"`
			FirstSeq uint64 `json:"first_seq"`
			LastSeq  uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return State{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	if answer.Error != nil {
		return State{}, errors.New(answer.Error.Description)
	}
	files := tar.NewReader(s2.NewReader(&chunks{ctx: ctx, sub: sub}))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return State{}, err
		}
		if h.Name == "errors.txt" {
			// So the server names its file when it fails half-way.
			text, _ := io.ReadAll(io.LimitReader(files, 4<<10))
			return State{}, errors.New(string(text))
		}
		if err := each(h.Name, h.Size, files); err != nil {
			return State{}, err
		}
	}
	s := answer.State
	return State{Epoch: answer.Config.Metadata[epochKey], First: s.FirstSeq, Last: s.LastSeq, Messages: s.Messages, Bytes: s.Bytes}, nil
}

// chunks reads the messages of a snapshot as one stream of bytes.
type chunks struct {
	ctx  context.Context
	sub  *nats.Subscription
	rest []byte
	done bool
}

// Read implements io.Reader.
func (r *chunks) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		ctx, cancel := context.WithTimeout(r.ctx, snapshotSilence)
		msg, err := r.sub.NextMsgWithContext(ctx)
		cancel()
		if err != nil {
			return 0, err
		}
		if len(msg.Data) == 0 {
			// The last message is empty and tells how it ended.
			if status := msg.Header.Get("Status"); status != "" && status != "204" {
				return 0, fmt.Errorf("it broke off: %s %s", status, msg.Header.Get("Description"))
			}
			r.done = true
			continue
		}
		r.rest = msg.Data
		if msg.Reply != "" {
			if err := msg.Respond(nil); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
