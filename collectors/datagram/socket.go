// Package datagram reads UDP sockets for the collectors: many datagrams in one
// system call, a large receive buffer, and the kernel's own figure of what did
// not fit into it. UDP senders cannot be asked to wait, so what was lost must
// at least be known.
package datagram

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxDatagram = 64 << 10
	perCall     = 32 // datagrams read in one system call
)

// MaxBuffer is the largest receive buffer that may be asked for, in bytes.
const MaxBuffer = 1 << 30

// Socket is one UDP socket that is listened on.
type Socket struct {
	conn     *net.UDPConn
	raw      rawConn
	stopping atomic.Bool

	mu    sync.Mutex
	inode uint64
	drops uint64 // the kernel's figure when last read
}

type rawConn interface {
	Read(func(fd uintptr) bool) error
	Control(func(fd uintptr)) error
}

// Listen opens a socket on addr with a receive buffer of so many bytes. Beyond
// net.core.rmem_max that needs CAP_NET_ADMIN; where the kernel gives less, log
// is told, with collector as the name of who reads.
func Listen(ctx context.Context, addr string, buffer int, log *slog.Logger, collector string) (*Socket, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s over UDP: %w", addr, err)
	}
	s := &Socket{conn: pc.(*net.UDPConn)}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("socket of %s: %w", addr, err), s.conn.Close())
	}
	got := 0
	s.raw.Control(func(fd uintptr) {
		if buffer > 0 {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			}
		}
		got, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil {
			s.inode = st.Ino
		}
	})
	if got < buffer { // The kernel reports twice what was asked.
		log.Warn("the kernel gives the listener a smaller buffer than asked for: raise net.core.rmem_max",
			"collector", collector, "asked", buffer, "got", got)
	}
	return s, nil
}

// Addr is the address in use.
func (s *Socket) Addr() net.Addr { return s.conn.LocalAddr() }

// WriteTo sends a datagram from the socket's address: an answer to what came.
func (s *Socket) WriteTo(data []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(data, to)
	return err
}

// Run hands over what comes, until Stop; then what the kernel still holds,
// which was sent before the end. failed is told of errors that pass, such as
// an ICMP answer to an earlier datagram; nil tells nobody.
func (s *Socket) Run(take func(*Datagrams), failed func(error)) {
	d := newDatagrams()
	for !s.stopping.Load() {
		var failure error
		err := s.raw.Read(func(fd uintptr) bool {
			var again bool
			again, failure = d.receive(fd)
			return !again
		})
		if err == nil {
			err = failure
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				break
			}
			if failed != nil {
				failed(err)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		take(d)
	}
	for range 1 << 16 {
		s.raw.Control(func(fd uintptr) { _, _ = d.receive(fd) })
		if d.n == 0 {
			return
		}
		take(d)
	}
}

// Stop makes Run come to its end.
func (s *Socket) Stop() {
	s.stopping.Store(true)
	s.conn.SetReadDeadline(time.Now())
}

// Close closes the socket, after Run has returned.
func (s *Socket) Close() error {
	s.mu.Lock()
	s.inode = 0 // The socket is gone from here on.
	s.mu.Unlock()
	return s.conn.Close()
}

// Dropped is how many datagrams the kernel dropped since the last call because
// the buffer was full.
func (s *Socket) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inode == 0 {
		return 0
	}
	n, ok := kernelDrops(s.inode)
	if !ok || n <= s.drops {
		return 0
	}
	more := n - s.drops
	s.drops = n
	return more
}

// Datagrams is what one system call read. It is valid until the next one.
type Datagrams struct {
	n       int
	headers [perCall]unix.Mmsghdr
	iovecs  [perCall]unix.Iovec
	names   [perCall]unix.RawSockaddrInet6
	buf     []byte
}

func newDatagrams() *Datagrams {
	d := &Datagrams{buf: make([]byte, perCall*maxDatagram)}
	for i := range d.headers {
		d.iovecs[i].Base = &d.buf[i*maxDatagram]
		d.iovecs[i].SetLen(maxDatagram)
		h := &d.headers[i].Hdr
		h.Iov = &d.iovecs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&d.names[i]))
	}
	return d
}

// receive reads what is there; again is true where nothing is.
func (d *Datagrams) receive(fd uintptr) (again bool, err error) {
	d.n = 0
	for i := range d.headers {
		d.headers[i].Hdr.Namelen = unix.SizeofSockaddrInet6
		d.headers[i].Hdr.Flags = 0
	}
	for {
		got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&d.headers[0])), perCall, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			d.n = int(got)
			return false, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return true, nil
		}
		return false, errno
	}
}

// Len is how many datagrams there are.
func (d *Datagrams) Len() int { return d.n }

// Data returns the i-th datagram. cut is true where its end did not fit.
func (d *Datagrams) Data(i int) (data []byte, cut bool) {
	n := min(int(d.headers[i].Len), maxDatagram)
	return d.buf[i*maxDatagram : i*maxDatagram+n], d.headers[i].Hdr.Flags&unix.MSG_TRUNC != 0
}

// Peer returns the sender of the i-th datagram.
func (d *Datagrams) Peer(i int) netip.Addr {
	switch name := &d.names[i]; name.Family {
	case unix.AF_INET6:
		return netip.AddrFrom16(name.Addr).Unmap()
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	}
	return netip.Addr{}
}

// Sender returns the address and the port of the sender of the i-th datagram.
func (d *Datagrams) Sender(i int) netip.AddrPort {
	// The port lies at the same place in both kinds of address, in network order.
	port := (*[2]byte)(unsafe.Pointer(&d.names[i].Port))
	return netip.AddrPortFrom(d.Peer(i), uint16(port[0])<<8|uint16(port[1]))
}
