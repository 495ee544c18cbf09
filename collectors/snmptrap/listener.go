package snmptrap

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors"
	"icewatch/collectors/batch"
	"icewatch/collectors/datagram"
	"icewatch/collectors/mib"
	"icewatch/collectors/usm"
	"icewatch/soc/intake"
)

// Listener is one listener.
type Listener struct {
	cfg      Config
	checked  checked
	names    *mib.Names
	deps     collectors.Deps
	counters *collectors.Counters
	batch    *batch.Batcher
	socket   *datagram.Socket
	engine   *engine
	counted  time.Time // when the kernel's drops were last read, by run alone

	warnings warnings
	informs  chan inform
	answers  sync.WaitGroup

	started, stopping atomic.Bool
	wg                sync.WaitGroup
}

var _ collectors.Collector = (*Listener)(nil)

// inform is a record that is answered once it is on the disk.
type inform struct {
	rec    intake.Record
	answer *gosnmp.SnmpPacket
	user   *usm.User
	to     netip.AddrPort
}

// Informs that wait to be stored, and how many are stored together. What does
// not fit is sent again by its sender.
const (
	maxInforms    = 4096
	informsAtOnce = 512
)

// New makes a listener.
func New(cfg Config, deps collectors.Deps) (*Listener, error) {
	checked, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if deps.Places == nil {
		return nil, fmt.Errorf("snmptrap: %s: no place to keep the engine's boots", cfg.ID)
	}
	names := mib.Standard()
	if err := names.Load(cfg.MIBs...); err != nil {
		if names.Len() == mib.Standard().Len() {
			return nil, fmt.Errorf("snmptrap: %s: mibs: %w", cfg.ID, err)
		}
		deps.Log.Warn("some names of the MIB modules are not known", "collector", cfg.ID, "error", err)
	}
	return &Listener{cfg: cfg, checked: checked, names: names, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID),
		informs: make(chan inform, maxInforms)}, nil
}

// flushInterval is the longest a trap waits in memory for others to be stored with it.
const flushInterval = 20 * time.Millisecond

// Start listens.
func (l *Listener) Start(ctx context.Context) (err error) {
	if l.engine, err = openEngine(ctx, l.deps.Places, l.cfg.ID, l.checked.engineID); err != nil {
		return fmt.Errorf("snmptrap: %s: %w", l.cfg.ID, err)
	}
	if l.socket, err = datagram.Listen(ctx, l.cfg.Listen, l.cfg.ReceiveBuffer, l.deps.Log, l.cfg.ID); err != nil {
		return fmt.Errorf("snmptrap: %s: %w", l.cfg.ID, err)
	}
	l.batch = batch.New(l.deps, l.counters, l.cfg.ID, flushInterval)
	l.counters.Running(true)
	l.started.Store(true)
	l.answers.Go(l.answerInforms)
	l.wg.Go(func() {
		l.counted = time.Now()
		l.socket.Run(l.take, func(err error) {
			l.counters.Failed(err)
			l.deps.Log.Warn("reading SNMP datagrams failed", "collector", l.cfg.ID, "error", err)
		})
	})
	return nil
}

// Addr is the address in use.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Health tells how the listener fares, with the kernel's drops as of now.
func (l *Listener) Health() collectors.Health {
	listen := l.cfg.Listen
	if l.started.Load() {
		listen = l.Addr().String()
		l.counters.Dropped(int(l.socket.Dropped()))
	}
	return l.counters.Health(l.cfg.ID, Kind, listen)
}

// dropsEvery is how often the kernel's figure is read while nobody asks.
const dropsEvery = 5 * time.Second

func (l *Listener) take(d *datagram.Datagrams) {
	now := time.Now()
	for i := range d.Len() {
		data, cut := d.Data(i)
		from := d.Sender(i)
		err := errors.New("it is longer than a datagram can be")
		if !cut {
			err = l.message(data, from, now)
		}
		if err != nil {
			l.counters.Rejected(1)
			l.warnings.tell(l.deps.Log, l.cfg.ID, from.Addr(), err, now)
		}
	}
	if now.Sub(l.counted) > dropsEvery {
		l.counted = now
		l.counters.Dropped(int(l.socket.Dropped()))
	}
}

// message judges one message, and takes it in or refuses it.
func (l *Listener) message(data []byte, from netip.AddrPort, now time.Time) error {
	if !l.allowed(from.Addr()) {
		return errors.New("the sender is of none of the networks in sources")
	}
	h, err := readHead(data)
	if err != nil {
		return err
	}
	switch h.version {
	case gosnmp.Version1, gosnmp.Version2c:
		return l.community(data, h, from, now)
	case gosnmp.Version3:
		return l.secured(data, h, from, now)
	}
	return fmt.Errorf("version %d of SNMP is not known", h.version)
}

func (l *Listener) allowed(a netip.Addr) bool {
	for _, p := range l.checked.sources {
		if p.Contains(a) {
			return true
		}
	}
	return len(l.checked.sources) == 0
}

// community takes a message of version 1 or 2c.
func (l *Listener) community(data []byte, h head, from netip.AddrPort, now time.Time) error {
	p, err := decode(data, h.version, nil)
	if err != nil {
		return err
	}
	known := 0
	for _, c := range l.checked.communities {
		known |= subtle.ConstantTimeCompare([]byte(c), []byte(p.Community))
	}
	if known == 0 {
		return fmt.Errorf("the community of version %s is not among those allowed", p.Version)
	}
	return l.notification(p, nil, from, now)
}

// secured takes a message of version 3, as RFC 3414, 3.2 has it.
func (l *Listener) secured(data []byte, h head, from netip.AddrPort, now time.Time) error {
	if h.model != int64(gosnmp.UserSecurityModel) {
		return fmt.Errorf("security model %d is not the user-based one", h.model)
	}
	if h.flags&(flagAuth|flagPriv) == flagPriv {
		return errors.New("it has privacy without authentication, which does not exist")
	}
	mine := h.engineID == l.engine.id
	if len(h.engineID) < 5 || len(h.engineID) > 32 || !mine && h.flags&flagReportable != 0 {
		// Whoever wants to send informs asks so for the engine (RFC 3414, 4).
		if h.flags&flagReportable == 0 {
			return errors.New("its engine id is none")
		}
		return l.report(h, nil, statUnknownEngineIDs, from)
	}
	user := l.checked.users[h.user]
	if user == nil {
		return l.refuse(h, statUnknownUserNames, from, mine, "the user is not known")
	}
	level := gosnmp.SnmpV3MsgFlags(h.flags & (flagAuth | flagPriv))
	if level < user.Level() || level > user.Level() {
		return l.refuse(h, statUnsupportedSecLevels, from, mine, "it is secured otherwise than its user is set up for")
	}
	usm, err := l.engine.parameters(h.engineID, user)
	if err != nil {
		return err
	}
	p, err := decode(data, h.version, usm)
	if err != nil {
		// Which of the two it is does not concern whoever lacks the keys.
		return l.refuse(h, statWrongDigests, from, mine, "it is not authentic, or cannot be decrypted: a passphrase or a protocol is wrong")
	}
	if level&gosnmp.AuthNoPriv != 0 {
		switch {
		case mine && !l.engine.inWindow(h.boots, h.time):
			// The sender learns our clock so, too: the answer is authentic.
			return l.report(h, user, statNotInTimeWindows, from)
		case !mine && !l.engine.freshOf(h.engineID, h.boots, h.time):
			return errors.New("it is older than what its engine sent before: recorded and sent again, or the engine's clock went back")
		}
	}
	return l.notification(p, user, from, now)
}

// refuse counts a message that is not taken in, and tells its sender where it
// wants to know.
func (l *Listener) refuse(h head, why stat, from netip.AddrPort, mine bool, reason string) error {
	if mine && h.flags&flagReportable != 0 {
		_ = l.report(h, nil, why, from)
	} else {
		l.engine.count(why)
	}
	return errors.New(reason)
}

// report answers with a statistic; authentic where user is not nil.
func (l *Listener) report(h head, user *usm.User, why stat, to netip.AddrPort) error {
	usm := &gosnmp.UsmSecurityParameters{AuthoritativeEngineID: l.engine.id, UserName: h.user, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv}
	flags := gosnmp.NoAuthNoPriv
	if user != nil {
		var err error
		if usm, err = l.engine.parameters(l.engine.id, user); err != nil {
			return err
		}
		flags = gosnmp.AuthNoPriv
	}
	usm.AuthoritativeEngineBoots, usm.AuthoritativeEngineTime = l.engine.boots, l.engine.time()
	return l.send(&gosnmp.SnmpPacket{Version: gosnmp.Version3, MsgID: uint32(h.id), MsgFlags: flags, SecurityModel: gosnmp.UserSecurityModel, SecurityParameters: usm,
		ContextEngineID: l.engine.id, PDUType: gosnmp.Report, Variables: []gosnmp.SnmpPDU{{Name: why.oid(), Type: gosnmp.Counter32, Value: uint(l.engine.count(why))}}}, to)
}

func (l *Listener) send(p *gosnmp.SnmpPacket, to netip.AddrPort) error {
	data, err := encode(p)
	if err == nil {
		err = l.socket.WriteTo(data, to)
	}
	return err
}

// notification takes a trap or an inform that is allowed.
func (l *Listener) notification(p *gosnmp.SnmpPacket, user *usm.User, from netip.AddrPort, now time.Time) error {
	switch p.PDUType {
	case gosnmp.Trap, gosnmp.SNMPv2Trap, gosnmp.InformRequest:
	default:
		return fmt.Errorf("it is a %v; traps and informs are taken in here", p.PDUType)
	}
	text, id, err := l.record(p, from.Addr())
	if err != nil {
		return err
	}
	rec := intake.Record{Tenant: l.cfg.Tenant, Zone: l.cfg.Zone, Collector: l.cfg.ID, Format: intake.JSON, Peer: from.Addr(), Received: now.UnixNano()}
	if p.PDUType != gosnmp.InformRequest {
		l.batch.Lock()
		l.batch.Add(rec, text)
		l.batch.Unlock()
		return nil
	}
	rec.ID, rec.Data = id, text
	select {
	case l.informs <- inform{rec, p, user, from}:
		return nil
	default:
		return errors.New("more informs wait to be stored than may; its sender sends it again")
	}
}

// answerInforms stores informs, many at a time, and answers those that are stored.
func (l *Listener) answerInforms() {
	var list []inform
	var recs []intake.Record
	for first := range l.informs {
		list = append(list[:0], first)
		for len(list) < informsAtOnce && len(l.informs) > 0 {
			list = append(list, <-l.informs)
		}
		recs = recs[:0]
		size := 0
		for i := range list {
			rec := list[i].rec
			_ = collectors.Fit(l.deps.Aside, &rec) // A datagram is far below the limit.
			recs = append(recs, rec)
			size += len(rec.Data)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := l.deps.Sink.Append(ctx, recs)
		cancel()
		if err != nil {
			// No answer: the devices send them again.
			l.counters.Failed(err)
			l.counters.Rejected(len(list))
			continue
		}
		l.counters.Failed(nil)
		l.counters.Received(len(list), size)
		for i := range list {
			if err := l.answer(&list[i]); err != nil {
				l.deps.Log.Warn("an inform could not be answered", "collector", l.cfg.ID, "peer", list[i].to, "error", err)
			}
		}
	}
}

// answer sends the response: the inform's own objects, without an error.
func (l *Listener) answer(in *inform) error {
	p := in.answer
	p.PDUType, p.Error, p.ErrorIndex = gosnmp.GetResponse, gosnmp.NoError, 0
	if p.Version == gosnmp.Version3 {
		p.MsgFlags &= gosnmp.AuthPriv
		usm, ok := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
		if !ok {
			return errors.New("parameters of another kind")
		}
		usm.AuthoritativeEngineBoots, usm.AuthoritativeEngineTime = l.engine.boots, l.engine.time()
		if p.MsgFlags&gosnmp.AuthPriv == gosnmp.AuthPriv {
			if err := l.engine.salt(in.user, p); err != nil {
				return err
			}
		}
	}
	return l.send(p, in.to)
}

// Stop reads what the kernel holds, hands everything to the sink and closes.
func (l *Listener) Stop(ctx context.Context) error {
	if !l.started.Load() || l.stopping.Swap(true) {
		return nil
	}
	l.socket.Stop()
	defer context.AfterFunc(ctx, l.batch.Cancel)()
	l.wg.Wait()
	close(l.informs)
	answered := make(chan struct{})
	go func() { l.answers.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-ctx.Done(): // What is not answered is sent again.
	}
	l.counters.Dropped(int(l.socket.Dropped()))
	_ = l.socket.Close()
	lost := l.batch.Close(ctx)
	l.counters.Running(false)
	if lost > 0 {
		return fmt.Errorf("snmptrap: %s: %d traps could not be stored before the end: %w", l.cfg.ID, lost, context.Cause(ctx))
	}
	return nil
}
