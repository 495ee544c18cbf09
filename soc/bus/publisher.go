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
	"icewatch/soc/metrics"
)

// batchTarget is how many bytes of records go into one message before the
// next is begun. Larger messages cost fewer fsyncs, smaller ones less waiting.
const batchTarget = 256 << 10

// inFlight is how many messages may wait for their fsync at a time.
const inFlight = 8

// Publisher is the durable intake.Sink: it gathers the records of concurrent
// callers into batches and returns to each once its batch is fsynced.
type Publisher struct{ *gatherer[intake.Record] }

var _ intake.Sink = Publisher{}

// MetricPublisher is what Publisher is, for the samples of metrics.
type MetricPublisher struct{ *gatherer[metrics.Portion] }

// Append makes series of a tenant durable. They may be many: they are cut into
// parts that fit a message.
func (p MetricPublisher) Append(ctx context.Context, tenant metrics.Tenant, series []metrics.Series) error {
	parts := metrics.Cut(series, batchTarget)
	list := make([]metrics.Portion, len(parts))
	for i := range parts {
		list[i] = metrics.Portion{Tenant: tenant, Series: parts[i]}
	}
	return p.gatherer.Append(ctx, list)
}

// way is a stream and how items of one kind become its messages.
type way[T any] struct {
	stream, subject string
	size            func(*T) int // bytes before compression
	count           func(*T) int // what it counts for in Stats
	encode          func([]T) []byte
}

// gatherer makes messages of the items of concurrent callers.
type gatherer[T any] struct {
	way     way[T]
	client  *Client
	mark    *mark
	dir     string
	minFree int64
	queue   chan request[T]
	slots   chan struct{}
	done    chan struct{}
	wg      sync.WaitGroup
	closing sync.RWMutex
	closed  bool

	records, bytes, batches, refused atomic.Uint64
	diskFull                         atomic.Bool
	failing                          atomic.Pointer[string] // why the last message was refused; nil once one is taken
}

type request[T any] struct {
	items []T
	size  int
	ack   chan<- error
}

// LeastFree is how many bytes stay free on the disk of the bus whatever the
// configuration says. On a disk that is full to the last block small messages
// still find room now and then; whether intake goes on must not depend on which
// one came last.
const LeastFree = 1 << 20

// Publisher starts a sink on the embedded bus.
func (s *Server) Publisher() (Publisher, error) {
	g, err := gather(s, way[intake.Record]{stream: rawStream, subject: rawSubject, size: func(r *intake.Record) int { return len(r.Data) + 64 },
		count: func(*intake.Record) int { return 1 }, encode: func(list []intake.Record) []byte { return intake.AppendBatch(nil, list) }})
	return Publisher{g}, err
}

// MetricPublisher starts a sink for the samples of metrics.
func (s *Server) MetricPublisher() (MetricPublisher, error) {
	size := func(p *metrics.Portion) (n int) {
		for i := range p.Series {
			n += p.Series[i].Size()
		}
		return n
	}
	g, err := gather(s, way[metrics.Portion]{stream: metricStream, subject: metricSubject, size: size,
		count: func(p *metrics.Portion) int { return metrics.Count(p.Series) }, encode: func(list []metrics.Portion) []byte { return metrics.AppendBatch(nil, list) }})
	return MetricPublisher{g}, err
}

func gather[T any](s *Server, w way[T]) (*gatherer[T], error) {
	c, err := s.Client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	state, err := c.state(ctx, w.stream)
	if err != nil {
		c.Close()
		return nil, err
	}
	mark, err := openMark(s.opts.Dir, w.stream, state.Epoch)
	if err != nil {
		c.Close()
		return nil, err
	}
	p := &gatherer[T]{way: w, client: c, mark: mark, dir: s.opts.Dir, minFree: max(s.opts.MinFree, LeastFree),
		queue: make(chan request[T], 1024), slots: make(chan struct{}, inFlight), done: make(chan struct{})}
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
func (p *gatherer[T]) Stats() Stats {
	s := Stats{Records: p.records.Load(), Bytes: p.bytes.Load(), Batches: p.batches.Load(), Refused: p.refused.Load(), DiskFull: p.diskFull.Load()}
	if why := p.failing.Load(); why != nil {
		s.Failing = *why
	}
	return s
}

func (p *gatherer[T]) watchDisk() {
	var st syscall.Statfs_t
	if err := syscall.Statfs(p.dir, &st); err != nil {
		return
	}
	p.diskFull.Store(int64(st.Bavail)*int64(st.Bsize) < p.minFree)
}

// Append makes items durable: nil only after fsync.
func (p *gatherer[T]) Append(ctx context.Context, items []T) error {
	if len(items) == 0 {
		return nil
	}
	if p.diskFull.Load() {
		p.refused.Add(1)
		return fmt.Errorf("%w: less than %d MiB are free on the disk of the bus", intake.ErrFull, p.minFree>>20)
	}
	// A call of many items is cut into parts that fit a message; all of
	// them must be durable before the caller may acknowledge any.
	var acks []chan error
	for len(items) > 0 {
		n, size := 0, 0
		for n < len(items) && (n == 0 || size < batchTarget) {
			size += p.way.size(&items[n])
			n++
		}
		ack := make(chan error, 1)
		if err := p.enqueue(ctx, request[T]{items: items[:n], size: size, ack: ack}); err != nil {
			return errors.Join(err, wait(acks))
		}
		acks = append(acks, ack)
		items = items[n:]
	}
	return wait(acks)
}

// wait collects every part's answer: the items must not be reused before
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

func (p *gatherer[T]) enqueue(ctx context.Context, r request[T]) error {
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

func (p *gatherer[T]) run() {
	defer p.wg.Done()
	defer close(p.done)
	for r := range p.queue {
		p.slots <- struct{}{}
		batch := []request[T]{r}
		size, count := r.size, len(r.items)
	gather:
		for size < batchTarget {
			select {
			case next, ok := <-p.queue:
				if !ok {
					break gather
				}
				batch = append(batch, next)
				size += next.size
				count += len(next.items)
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

func (p *gatherer[T]) publish(batch []request[T], count, size int) {
	items := batch[0].items
	if len(batch) > 1 {
		items = make([]T, 0, count)
		for _, r := range batch {
			items = append(items, r.items...)
		}
	}
	count = 0
	for i := range items {
		count += p.way.count(&items[i])
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
	msg := &nats.Msg{Subject: p.way.subject, Data: p.way.encode(items)}
	id := rand.Text()
	// Sent from here, so that batches keep their order; awaited elsewhere.
	future, err := p.send(msg, id)
	go func() { answer(p.await(future, err, msg, id, count)) }()
}

// unsure is how long a message is sent again before its senders are told that
// nobody knows what became of it.
const unsure = 5 * time.Minute

func (p *gatherer[T]) send(msg *nats.Msg, id string) (jetstream.PubAckFuture, error) {
	return p.client.js.PublishMsgAsync(&nats.Msg{Subject: msg.Subject, Data: msg.Data}, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(2))
}

// await tells what became of a message. Where no answer comes, as from a disk
// that hangs, the same message is sent again: under its id it is stored once.
func (p *gatherer[T]) await(future jetstream.PubAckFuture, err error, msg *nats.Msg, id string, count int) error {
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
func (p *gatherer[T]) Close() {
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
func (p *gatherer[T]) verdict(err error, count int) error {
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
