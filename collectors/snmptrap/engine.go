package snmptrap

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors"
	"icewatch/collectors/usm"
)

// Bounds of RFC 3414.
const (
	maxBoots   = math.MaxInt32
	timeWindow = 150 // seconds (2.2.3)
)

// engine is this listener as an SNMP engine: authoritative for informs, and
// knowing the engines whose traps it takes in. It is safe for concurrent use.
type engine struct {
	id      string
	boots   uint32
	started time.Time
	now     func() time.Time

	mu     sync.Mutex
	peers  map[string]*list.Element // by engine id, of *peerEngine
	order  *list.List               // the one heard last in front
	fresh  int                      // engines first heard in the present second
	second int64
	stats  [statCount]uint32
}

// peerEngine is what is known of an engine that sends traps: by RFC 3414, 2.3
// what its latest authentic message said.
type peerEngine struct {
	id      string
	known   bool // an authentic message came
	boots   int64
	latest  int64                                    // latestReceivedEngineTime
	notedAt time.Time                                // when latest was noted
	keys    map[string]*gosnmp.UsmSecurityParameters // by user
}

const (
	maxPeers = 10_000
	// maxFresh bounds the engines that are made known in a second: each costs
	// work of cryptography before its message can be refused.
	maxFresh = 200
)

// state is what is kept over restarts.
type state struct {
	EngineID string `json:"engine_id"` // hexadecimal
	Boots    uint32 `json:"boots"`
}

// openEngine makes the engine of the listener called id: with the engine id
// given or kept, and with boots one higher than ever before, which is durable
// when it returns.
func openEngine(ctx context.Context, places collectors.Places, id, given string) (*engine, error) {
	key := "snmptrap/" + id
	kept, err := places.Place(ctx, key)
	if err != nil {
		return nil, err
	}
	var s state
	if kept != nil {
		if err := json.Unmarshal(kept, &s); err != nil {
			return nil, fmt.Errorf("what was kept of the SNMP engine cannot be read (%w); without it senders of informs would take the listener for another", err)
		}
	}
	old, err := hex.DecodeString(s.EngineID)
	if err != nil {
		return nil, fmt.Errorf("the engine id kept, %q, is not hexadecimal", s.EngineID)
	}
	e := newEngine(string(old), s.Boots)
	switch {
	case given != "" && given != e.id:
		e.id, e.boots = given, 0
	case e.id == "":
		// RFC 3411, 5: the highest bit says that what follows the enterprise's
		// number is laid out as here; 5 means octets that the administrator
		// chose. The number 0 is nobody's.
		random := make([]byte, 12)
		rand.Read(random) // It never fails.
		e.id, e.boots = "\x80\x00\x00\x00\x05"+string(random), 0
	}
	// At the highest number it stays for ever, and nothing is authentic any more (2.2.2).
	e.boots = min(e.boots+1, maxBoots)
	text, err := json.Marshal(state{hex.EncodeToString([]byte(e.id)), e.boots})
	if err != nil {
		return nil, err
	}
	return e, places.Save(ctx, key, text)
}

func newEngine(id string, boots uint32) *engine {
	return &engine{id: id, boots: boots, started: time.Now(), now: time.Now, peers: map[string]*list.Element{}, order: list.New()}
}

// time is snmpEngineTime: seconds since the start.
func (e *engine) time() uint32 { return uint32(min(e.now().Sub(e.started)/time.Second, maxBoots)) }

// inWindow tells whether an authentic message to this engine is a fresh one
// (RFC 3414, 3.2.7 a).
func (e *engine) inWindow(boots, at int64) bool {
	d := at - int64(e.time())
	return e.boots < maxBoots && boots == int64(e.boots) && d <= timeWindow && d >= -timeWindow
}

var errCrowd = errors.New("too many unknown engines send at a time")

// parameters returns a copy of a user's parameters with the keys of an engine.
func (e *engine) parameters(engineID string, u *usm.User) (*gosnmp.UsmSecurityParameters, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.peer(engineID)
	if err != nil {
		return nil, err
	}
	usm := p.keys[u.Name]
	if usm == nil {
		usm = u.Parameters()
		usm.AuthoritativeEngineID = engineID
		if err := usm.InitSecurityKeys(); err != nil {
			return nil, fmt.Errorf("keys of the user: %w", err)
		}
		p.keys[u.Name] = usm
	}
	own, ok := usm.Copy().(*gosnmp.UsmSecurityParameters)
	if !ok {
		return nil, errors.New("parameters of another kind")
	}
	return own, nil
}

// peer finds or makes what is known of an engine.
func (e *engine) peer(id string) (*peerEngine, error) {
	if at, ok := e.peers[id]; ok {
		e.order.MoveToFront(at)
		return at.Value.(*peerEngine), nil
	}
	if s := e.now().Unix(); s != e.second {
		e.second, e.fresh = s, 0
	}
	if e.fresh++; e.fresh > maxFresh {
		return nil, errCrowd
	}
	if e.order.Len() >= maxPeers {
		// Of those that never sent an authentic message first: what is known of
		// the others keeps old messages from being played again.
		victim := e.order.Back()
		for at := e.order.Back(); at != nil; at = at.Prev() {
			if !at.Value.(*peerEngine).known {
				victim = at
				break
			}
		}
		delete(e.peers, victim.Value.(*peerEngine).id)
		e.order.Remove(victim)
	}
	p := &peerEngine{id: id, keys: map[string]*gosnmp.UsmSecurityParameters{}}
	e.peers[id] = e.order.PushFront(p)
	return p, nil
}

// fresh tells whether an authentic message of another engine is no older than
// what that engine said last, and notes what it says (RFC 3414, 3.2.7 b).
func (e *engine) freshOf(engineID string, boots, at int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.peer(engineID)
	if err != nil {
		return false
	}
	now := e.now()
	if !p.known || boots > p.boots || boots == p.boots && at > p.latest {
		p.known, p.boots, p.latest, p.notedAt = true, boots, at, now
	}
	if p.boots >= maxBoots || boots < p.boots {
		return false
	}
	// The other clock has gone on since then as ours has.
	return at >= p.latest+int64(now.Sub(p.notedAt)/time.Second)-timeWindow
}

// Reports that an engine sends (RFC 3414, 5: usmStats).
type stat int

const (
	statUnsupportedSecLevels stat = iota
	statNotInTimeWindows
	statUnknownUserNames
	statUnknownEngineIDs
	statWrongDigests
	statDecryptionErrors
	statCount
)

func (s stat) oid() string { return fmt.Sprintf("1.3.6.1.6.3.15.1.1.%d.0", int(s)+1) }

// count raises a statistic and returns it.
func (e *engine) count(s stat) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats[s]++
	return e.stats[s]
}

// salt gives a packet that is to be encrypted a salt that none had before.
func (e *engine) salt(u *usm.User, p *gosnmp.SnmpPacket) error {
	if u == nil {
		return errors.New("nobody is known to encrypt for")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	mine, err := e.peer(e.id)
	if err != nil {
		return err
	}
	usm := mine.keys[u.Name]
	if usm == nil {
		return errors.New("the keys of the user are gone")
	}
	return usm.InitPacket(p)
}
