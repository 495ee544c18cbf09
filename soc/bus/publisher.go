package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"icewatch/soc/intake"
)

// batchTarget is how many bytes of records go into one message before the
// next is begun. Larger messages cost fewer fsyncs, smaller ones less waiting.
const batchTarget = 256 << 10

// inFlight is how many messages may wait for their fsync at a time.
const inFlight = 8

// Publisher is the durable intake.Sink: it gathers the records of concurrent
// callers into batches and returns to each once its batch is fsynced.
type Publisher struct {
	client  *Client
	mark    *mark
	dir     string
	minFree int64
	queue   chan request
	slots   chan struct{}
	done    chan struct{}
	wg      sync.WaitGroup
	closing sync.RWMutex
	closed  bool

	records, bytes, batches, refused atomic.Uint64
	diskFull                         atomic.Bool
	failing                          atomic.Pointer[string] // why the last message was refused; nil once one is taken
}

type request struct {
	recs []intake.Record
	size int
	ack  chan<- error
}

var _ intake.Sink = (*Publisher)(nil)

// LeastFree is how many bytes stay free on the disk of the bus whatever the
// configuration says. On a disk that is full to the last block small messages
// still find room now and then; whether intake goes on must not depend on which
// one came last.
const LeastFree = 1 << 20

// Publisher starts a sink on the embedded bus.
func (s *Server) Publisher() (*Publisher, error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	state, err := c.RawState(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	mark, err := openMark(s.opts.Dir, state.Epoch)
	if err != nil {
		c.Close()
		return nil, err
	}
	p := &Publisher{client: c, mark: mark, dir: s.opts.Dir, minFree: max(s.opts.MinFree, LeastFree),
		queue: make(chan request, 1024), slots: make(chan struct{}, inFlight), done: make(chan struct{})}
	p.watchDisk()
	p.wg.Add(2)
	go p.run()
	go func() {
		defer p.wg.Done()
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.watchDisk()
			case <-p.done:
				return
			}
		}
	}()
	return p, nil
}

// Stats are the publisher's counters since it started.
type Stats struct {
	Records, Bytes, Batches uint64 // made durable
	Refused                 uint64 // calls refused because bus or disk is full
	DiskFull                bool   // less is free than is to be left free
	// Failing says why the last message was refused; "" where it was taken.
	Failing string
}

// Stats returns the counters.
func (p *Publisher) Stats() Stats {
	s := Stats{Records: p.records.Load(), Bytes: p.bytes.Load(), Batches: p.batches.Load(), Refused: p.refused.Load(), DiskFull: p.diskFull.Load()}
	if why := p.failing.Load(); why != nil {
		s.Failing = *why
	}
	return s
}

func (p *Publisher) watchDisk() {
	var st syscall.Statfs_t
	if err := syscall.Statfs(p.dir, &st); err != nil {
		return
	}
	p.diskFull.Store(int64(st.Bavail)*int64(st.Bsize) < p.minFree)
}

// Append implements intake.Sink.
func (p *Publisher) Append(ctx context.Context, recs []intake.Record) error {
	if len(recs) == 0 {
		return nil
	}
	if p.diskFull.Load() {
		p.refused.Add(1)
		return fmt.Errorf("%w: less than %d MiB are free on the disk of the bus", intake.ErrFull, p.minFree>>20)
	}
	// A call of many records is cut into parts that fit a message; all of
	// them must be durable before the caller may acknowledge any.
	var acks []chan error
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && (n == 0 || size < batchTarget) {
			size += recordSize(&recs[n])
			n++
		}
		ack := make(chan error, 1)
		if err := p.enqueue(ctx, request{recs: recs[:n], size: size, ack: ack}); err != nil {
			return errors.Join(err, wait(acks))
		}
		acks = append(acks, ack)
		recs = recs[n:]
	}
	return wait(acks)
}

// wait collects every part's answer: the records must not be reused before
// the publisher has let go of all of them, so ctx cannot cut it short.
func wait(acks []chan error) error {
	var first error
	for _, ack := range acks {
		if err := <-ack; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (p *Publisher) enqueue(ctx context.Context, r request) error {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return intake.ErrClosed
	}
	select {
	case p.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func recordSize(r *intake.Record) int { return len(r.Data) + 64 }

func (p *Publisher) run() {
	defer p.wg.Done()
	defer close(p.done)
	for r := range p.queue {
		p.slots <- struct{}{}
		batch := []request{r}
		size, count := r.size, len(r.recs)
	gather:
		for size < batchTarget {
			select {
			case next, ok := <-p.queue:
				if !ok {
					break gather
				}
				batch = append(batch, next)
				size += next.size
				count += len(next.recs)
			default:
				break gather
			}
		}
		p.publish(batch, count, size)
	}
	for range inFlight {
		p.slots <- struct{}{}
	}
}

func (p *Publisher) publish(batch []request, count, size int) {
	recs := batch[0].recs
	if len(batch) > 1 {
		recs = make([]intake.Record, 0, count)
		for _, r := range batch {
			recs = append(recs, r.recs...)
		}
	}
	answer := func(err error) {
		if err != nil {
			p.refused.Add(uint64(len(batch)))
			why := err.Error()
			p.failing.Store(&why)
		} else {
			p.failing.Store(nil)
			p.records.Add(uint64(count))
			p.bytes.Add(uint64(size))
			p.batches.Add(1)
		}
		for _, r := range batch {
			r.ack <- err
		}
		<-p.slots
	}
	msg := &nats.Msg{Subject: rawSubject, Data: intake.AppendBatch(nil, recs)}
	id := rand.Text()
	// Sent from here, so that batches keep their order; awaited elsewhere.
	future, err := p.send(msg, id)
	go func() { answer(p.await(future, err, msg, id, count)) }()
}

// unsure is how long a message is sent again before its senders are told that
// nobody knows what became of it.
const unsure = 5 * time.Minute

func (p *Publisher) send(msg *nats.Msg, id string) (jetstream.PubAckFuture, error) {
	return p.client.js.PublishMsgAsync(&nats.Msg{Subject: msg.Subject, Data: msg.Data}, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(2))
}

// await tells what became of a message. Where no answer comes, as from a disk
// that hangs, the same message is sent again: under its id it is stored once.
func (p *Publisher) await(future jetstream.PubAckFuture, err error, msg *nats.Msg, id string, count int) error {
	for begun := time.Now(); ; {
		if err == nil {
			select {
			case ack := <-future.Ok():
				p.mark.set(ack.Sequence)
				return nil
			case err = <-future.Err():
			}
		}
		if !errors.Is(err, jetstream.ErrAsyncPublishTimeout) || time.Since(begun) > unsure {
			return p.verdict(err, count)
		}
		p.client.log.Warn("bus: a message is not answered and is sent again", "records", count, "waited", time.Since(begun).Round(time.Second))
		future, err = p.send(msg, id)
	}
}

// Close makes durable what was handed over, then refuses more.
func (p *Publisher) Close() {
	p.closing.Lock()
	if p.closed {
		p.closing.Unlock()
		return
	}
	p.closed = true
	close(p.queue)
	p.closing.Unlock()
	p.wg.Wait()
	p.client.Close()
	p.mark.close()
}

// verdict turns JetStream's refusal into what a sender may be told. What
// cannot be stored now, for whatever reason of the disk's, can be sent again:
// the error is ErrFull, and the path of the file goes to the log alone.
func (p *Publisher) verdict(err error, count int) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("bus: publish %d records: %w", count, err)
	}
	switch why := api.Description; {
	case strings.Contains(why, syscall.ENOSPC.Error()), strings.Contains(why, syscall.EDQUOT.Error()):
		p.client.log.Error("bus: the disk is full", "error", why)
		return fmt.Errorf("%w: the disk of the bus is full", intake.ErrFull)
	case strings.Contains(why, syscall.EROFS.Error()):
		p.client.log.Error("bus: the disk cannot be written", "error", why)
		return fmt.Errorf("%w: the disk of the bus is read-only", intake.ErrFull)
	case strings.Contains(why, syscall.EIO.Error()):
		p.client.log.Error("bus: the disk fails", "error", why)
		return fmt.Errorf("%w: the disk of the bus fails", intake.ErrFull)
	case api.ErrorCode == 10077 || api.ErrorCode == 10047 || api.ErrorCode == 10023:
		return fmt.Errorf("%w (%s)", intake.ErrFull, why)
	}
	return fmt.Errorf("bus: publish %d records: %w", count, err)
}
