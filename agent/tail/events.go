package tail

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxNotified is how many files are remembered by name; with more of them, all are looked at.
const maxNotified = 256

// Events are taken in bursts of up to burst, while there are many: between them the queue of fsnotify, which holds one, is
// left full for rest, and the kernel makes one of what is alike. Taken as it comes, each line of a program that writes a
// thousand a second would wake two threads of the runtime. The news of a rotation waits no longer than rest.
const (
	burst = time.Millisecond
	rest  = 20 * time.Millisecond
)

// An eventSource is what the notifier is told by: a goroutine that sorts what it is told, until close.
type eventSource struct {
	watcher        *fsnotify.Watcher
	named, written chan<- struct{}
	ended          sync.WaitGroup

	stopped chan struct{}

	mu    sync.Mutex
	armed bool // written is to be poked
	paths map[string]bool
	lost  bool
}

// newEventSource says on the channels that there is something to be taken.
func newEventSource(named, written chan<- struct{}) (*eventSource, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	s := &eventSource{watcher: w, named: named, written: written, stopped: make(chan struct{}), armed: true, paths: map[string]bool{}}
	s.ended.Go(s.run)
	return s, nil
}

func (s *eventSource) close() {
	close(s.stopped)
	_ = s.watcher.Close() // closes its channels
	s.ended.Wait()
}

func (s *eventSource) run() {
	began := time.Now() // the burst under way
	for {
		select {
		case e, ok := <-s.watcher.Events:
			if !ok {
				return
			}
			if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
				poke(s.named)
				continue
			}
			if told := s.note(e.Name); told && time.Since(began) > burst {
				s.pause()
				began = time.Now()
			}
		case _, ok := <-s.watcher.Errors:
			if !ok {
				return
			}
			poke(s.named) // an overflow or not: something was missed
		}
	}
}

// pause lets events gather.
func (s *eventSource) pause() {
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stopped:
	}
}

// note remembers a file that was written to. It reports whether the tailer has been told of one before, and not looked yet.
func (s *eventSource) note(path string) (told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost = s.lost || len(s.paths) >= maxNotified; !s.lost {
		s.paths[path] = true
	}
	if !s.armed {
		return true
	}
	s.armed = false
	poke(s.written)
	return false
}

func (s *eventSource) watch(dirs map[string]bool) (failed error) {
	watched := map[string]bool{}
	for _, dir := range s.watcher.WatchList() {
		watched[dir] = true
		if !dirs[dir] {
			_ = s.watcher.Remove(dir) // fails if the directory is gone, and the watch with it
		}
	}
	for dir := range dirs {
		if !watched[dir] {
			if err := s.watcher.Add(dir); err != nil {
				failed = err
			}
		}
	}
	return failed
}

func (s *eventSource) writes() (paths map[string]bool, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths, lost = s.paths, s.lost
	s.paths, s.lost = map[string]bool{}, false
	s.armed = len(paths) == 0 && !lost
	return paths, lost
}
