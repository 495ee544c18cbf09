package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"icewatch/collectors"
)

const (
	maxDatagram = 64 << 10
	perCall     = 32 // datagrams read in one system call
)

// UDP is a UDP listener.
type UDP struct {
	cfg      UDPConfig
	deps     collectors.Deps
	counters *collectors.Counters
	batch    *batcher
	conn     *net.UDPConn
	raw      interface {
		Read(func(fd uintptr) bool) error
		Control(func(fd uintptr)) error
	}

	stopping atomic.Bool
	started  atomic.Bool
	wg       sync.WaitGroup

	dropsMu sync.Mutex
	inode   uint64
	drops   uint64 // the kernel's figure when last read
}

var _ collectors.Collector = (*UDP)(nil)

// NewUDP makes a UDP listener.
func NewUDP(cfg UDPConfig, deps collectors.Deps) (*UDP, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.ReceiveBuffer < 0 || cfg.ReceiveBuffer > 1<<30 {
		return nil, fmt.Errorf("syslog: %s: receive_buffer must be between 0 and 1 GiB, not %d", cfg.ID, cfg.ReceiveBuffer)
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	return &UDP{cfg: cfg, deps: deps, counters: collectors.NewCounters(deps.Metrics, cfg.ID)}, nil
}

// Start listens.
func (u *UDP) Start(ctx context.Context) error {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", u.cfg.Listen)
	if err != nil {
		return fmt.Errorf("syslog: %s: listen on %s over UDP: %w", u.cfg.ID, u.cfg.Listen, err)
	}
	u.conn = pc.(*net.UDPConn)
	raw, err := u.conn.SyscallConn()
	if err != nil {
		u.conn.Close()
		return fmt.Errorf("syslog: %s: socket of %s: %w", u.cfg.ID, u.cfg.Listen, err)
	}
	u.raw = raw
	u.sizeBuffer()
	u.batch = newBatcher(u.deps, u.counters, u.cfg.newRecord(), u.cfg.FlushInterval)
	u.counters.Running(true)
	u.started.Store(true)
	u.wg.Add(1)
	go u.run()
	return nil
}

// sizeBuffer asks for a large receive buffer and tells where the kernel gives
// less.
func (u *UDP) sizeBuffer() {
	want := u.cfg.ReceiveBuffer
	got := 0
	u.raw.Control(func(fd uintptr) {
		if want > 0 {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want) != nil {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, want)
			}
		}
		got, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil {
			u.inode = st.Ino
		}
	})
	if got < want { // The kernel reports twice what was asked.
		u.deps.Log.Warn("the kernel gives the syslog listener a smaller buffer than asked for: raise net.core.rmem_max",
			"collector", u.cfg.ID, "asked", want, "got", got)
	}
}

// Addr is the address in use.
func (u *UDP) Addr() net.Addr { return u.conn.LocalAddr() }

// Health tells how the listener fares, with the kernel's drops as of now.
func (u *UDP) Health() collectors.Health {
	listen := u.cfg.Listen
	if u.started.Load() {
		listen = u.conn.LocalAddr().String()
		u.countDrops()
	}
	return u.counters.Health(u.cfg.ID, "syslog_udp", listen)
}

// countDrops adds what the kernel dropped since the last call.
func (u *UDP) countDrops() {
	u.dropsMu.Lock()
	defer u.dropsMu.Unlock()
	if u.inode == 0 {
		return
	}
	n, ok := kernelDrops(u.inode)
	if ok && n > u.drops {
		u.counters.Dropped(int(n - u.drops))
		u.drops = n
	}
}

// reader is the memory for reading many datagrams in one call.
type reader struct {
	headers [perCall]unix.Mmsghdr
	iovecs  [perCall]unix.Iovec
	names   [perCall]unix.RawSockaddrInet6
	buf     []byte
}

func newReader() *reader {
	r := &reader{buf: make([]byte, perCall*maxDatagram)}
	for i := range r.headers {
		r.iovecs[i].Base = &r.buf[i*maxDatagram]
		r.iovecs[i].SetLen(maxDatagram)
		h := &r.headers[i].Hdr
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	return r
}

// receive reads what is there; again is true where nothing is.
func (r *reader) receive(fd uintptr) (n int, again bool, err error) {
	for i := range r.headers {
		r.headers[i].Hdr.Namelen = unix.SizeofSockaddrInet6
		r.headers[i].Hdr.Flags = 0
	}
	for {
		got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), perCall, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(got), false, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, true, nil
		}
		return 0, false, errno
	}
}

func (r *reader) message(i int) (text []byte, cut bool) {
	n := min(int(r.headers[i].Len), maxDatagram)
	return r.buf[i*maxDatagram : i*maxDatagram+n], r.headers[i].Hdr.Flags&unix.MSG_TRUNC != 0
}

func (r *reader) peer(i int) netip.Addr {
	switch name := &r.names[i]; name.Family {
	case unix.AF_INET6:
		return netip.AddrFrom16(name.Addr).Unmap()
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	}
	return netip.Addr{}
}

// dropsEvery is how often the kernel's figure is read while nobody asks.
const dropsEvery = 5 * time.Second

func (u *UDP) run() {
	defer u.wg.Done()
	r := newReader()
	counted := time.Now()
	for !u.stopping.Load() {
		var n int
		var failure error
		err := u.raw.Read(func(fd uintptr) bool {
			var again bool
			n, again, failure = r.receive(fd)
			return !again
		})
		if err == nil {
			err = failure
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				break
			}
			// An error of an earlier answer (ICMP) or of memory: it passes.
			u.counters.Failed(err)
			u.deps.Log.Warn("reading syslog datagrams failed", "collector", u.cfg.ID, "error", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		u.take(r, n)
		if time.Since(counted) > dropsEvery {
			counted = time.Now()
			u.countDrops()
		}
	}
	// What the kernel holds was sent before the end.
	for i := 0; i < 1<<16; i++ {
		var n int
		u.raw.Control(func(fd uintptr) { n, _, _ = r.receive(fd) })
		if n == 0 {
			return
		}
		u.take(r, n)
	}
}

func (u *UDP) take(r *reader, n int) {
	now := time.Now().UnixNano()
	u.batch.lock()
	defer u.batch.unlock()
	for i := range n {
		text, cut := r.message(i)
		text = trimEnd(text)
		if len(text) == 0 {
			u.counters.Rejected(1) // An empty datagram says nothing.
			continue
		}
		var marks []string
		if cut {
			marks = marksTruncated
		}
		u.batch.add(r.peer(i), now, text, marks)
	}
}

// Stop reads what the kernel holds, hands everything to the sink and closes.
func (u *UDP) Stop(ctx context.Context) error {
	if !u.started.Load() || u.stopping.Swap(true) {
		return nil
	}
	u.conn.SetReadDeadline(time.Now())
	defer context.AfterFunc(ctx, u.batch.cancel)()
	u.wg.Wait()
	u.countDrops()
	u.dropsMu.Lock()
	u.inode = 0 // The socket is gone from here on.
	u.dropsMu.Unlock()
	u.conn.Close()
	lost := u.batch.close(ctx)
	u.counters.Running(false)
	if lost > 0 {
		return fmt.Errorf("syslog: %s: %d messages could not be stored before the end: %w", u.cfg.ID, lost, context.Cause(ctx))
	}
	return nil
}
