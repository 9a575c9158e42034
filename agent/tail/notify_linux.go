package tail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// An eventSource is what the notifier is told by: inotify, once for names and once for writes, so that the ones need not be
// read for the sake of the others.
type eventSource struct {
	names, written *inotify
	paths          map[string]bool
	path           []byte
}

const (
	ofNames  = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	ofWrites = unix.IN_MODIFY // truncation is one, too
)

// newEventSource says on the channels that there is something to be taken.
func newEventSource(named, written chan<- struct{}) (*eventSource, error) {
	names, err := newInotify(ofNames, named)
	if err != nil {
		return nil, err
	}
	writes, err := newInotify(ofWrites, written)
	if err != nil {
		names.close()
		return nil, err
	}
	return &eventSource{names: names, written: writes, paths: map[string]bool{}}, nil
}

func (s *eventSource) close() {
	s.names.close()
	s.written.close()
}

func (s *eventSource) watch(dirs map[string]bool) error {
	return errors.Join(s.names.watch(dirs), s.written.watch(dirs))
}

func (s *eventSource) scanning() {
	s.names.read(func(uint32, string, []byte) {})
	s.names.arm()
}

func (s *eventSource) writes() (paths map[string]bool, lost bool) {
	clear(s.paths)
	s.written.read(func(mask uint32, dir string, name []byte) {
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			lost = true
		case mask&unix.IN_MODIFY != 0:
			s.path = append(append(append(s.path[:0], dir...), '/'), name...)
			if !s.paths[string(s.path)] {
				s.paths[string(s.path)] = true
			}
		}
	})
	if len(s.paths) == 0 && !lost {
		s.written.arm()
	}
	return s.paths, lost
}

// inotify is read when its owner asks, and at no other time: what is alike and not read yet, the kernel makes one of.
//
// Its descriptor is in an epoll set of its own, for one shot. The runtime's poller watches that set, and so learns of the
// first event after arm and of none of those that follow, each of which would wake a thread.
type inotify struct {
	fd    int // nonblocking
	mask  uint32
	epoll int
	set   *os.File // of epoll
	ended sync.WaitGroup
	buf   []byte
	dirs  map[int]string // by watch
}

// maxEvent is how long an event can be: its name has at most 255 bytes and a NUL.
const maxEvent = unix.SizeofInotifyEvent + 256

// newInotify starts a goroutine that pokes wake with the first event after arm, and after now. close ends it.
func newInotify(mask uint32, wake chan<- struct{}) (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	_ = unix.SetNonblock(set, true) // has os.NewFile give it to the poller
	i := &inotify{fd: fd, mask: mask, epoll: set, set: os.NewFile(uintptr(set), "inotify"), buf: make([]byte, 16<<10), dirs: map[int]string{}}
	err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &oneShot)
	var conn syscall.RawConn
	if err == nil {
		conn, err = i.set.SyscallConn()
	}
	if err != nil {
		i.close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	i.ended.Go(func() { wakeOn(conn, wake) })
	return i, nil
}

var oneShot = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}

// wakeOn pokes wake when the set has something, until it is closed.
func wakeOn(conn syscall.RawConn, wake chan<- struct{}) {
	var event [1]unix.EpollEvent
	for {
		err := conn.Read(func(fd uintptr) bool {
			n, _ := unix.EpollWait(int(fd), event[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		poke(wake)
	}
}

// arm asks to be woken by the next event, or by one that has come and was not read.
func (i *inotify) arm() {
	_ = unix.EpollCtl(i.epoll, unix.EPOLL_CTL_MOD, i.fd, &oneShot) // fails for no descriptor of ours that is open
}

func (i *inotify) close() {
	_ = i.set.Close()
	i.ended.Wait()
	_ = unix.Close(i.fd)
}

// watch adds what is missing, and also follows a path that leads to another directory now. The error is the last of them.
func (i *inotify) watch(dirs map[string]bool) (failed error) {
	kept := make(map[int]string, len(dirs))
	for dir := range dirs {
		wd, err := unix.InotifyAddWatch(i.fd, dir, i.mask|unix.IN_ONLYDIR)
		if err != nil {
			failed = fmt.Errorf("watch %s: %w", dir, err)
			continue
		}
		kept[wd] = dir
	}
	for wd := range i.dirs {
		if _, ok := kept[wd]; !ok {
			_, _ = unix.InotifyRmWatch(i.fd, uint32(wd)) // fails if the directory is gone, and the watch with it
		}
	}
	i.dirs = kept
	return failed
}

// read hands over the events there are.
func (i *inotify) read(note func(mask uint32, dir string, name []byte)) {
	for {
		n, err := unix.Read(i.fd, i.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return // EAGAIN: none
		}
		for b := i.buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int(int32(binary.NativeEndian.Uint32(b)))
			mask := binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			if dir, ok := i.dirs[wd]; ok || mask&unix.IN_Q_OVERFLOW != 0 {
				note(mask, dir, bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"))
			}
			b = b[end:]
		}
		if n < len(i.buf)-maxEvent {
			return // that was all: another one would have had room
		}
	}
}
