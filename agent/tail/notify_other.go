//go:build !linux

package tail

import (
	"sync"

	"github.com/fsnotify/fsnotify"
)

// maxNotified is how many files are remembered by name; with more of them, all are looked at.
const maxNotified = 256

// An eventSource is what the notifier is told by: a goroutine that sorts what it is told, until close.
type eventSource struct {
	watcher        *fsnotify.Watcher
	named, written chan<- struct{}
	ended          sync.WaitGroup

	mu    sync.Mutex
	armed bool // written is to be poked
	paths map[string]bool
	lost  bool
}

// newEventSource says on the channels that there is something to be taken.
func newEventSource(named, written chan<- struct{}) (*eventSource, error) {
	w, err := fsnotify.NewBufferedWatcher(maxNotified)
	if err != nil {
		return nil, err
	}
	s := &eventSource{watcher: w, named: named, written: written, armed: true, paths: map[string]bool{}}
	s.ended.Go(s.run)
	return s, nil
}

func (s *eventSource) close() {
	_ = s.watcher.Close() // closes its channels
	s.ended.Wait()
}

func (s *eventSource) run() {
	for {
		select {
		case e, ok := <-s.watcher.Events:
			if !ok {
				return
			}
			if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
				poke(s.named)
			} else {
				s.note(e.Name)
			}
		case _, ok := <-s.watcher.Errors:
			if !ok {
				return
			}
			poke(s.named) // an overflow or not: something was missed
		}
	}
}

func (s *eventSource) note(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost = s.lost || len(s.paths) >= maxNotified; !s.lost {
		s.paths[path] = true
	}
	if s.armed {
		s.armed = false
		poke(s.written)
	}
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

func (s *eventSource) scanning() {} // names are told of at any time

func (s *eventSource) writes() (paths map[string]bool, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths, lost = s.paths, s.lost
	s.paths, s.lost = map[string]bool{}, false
	s.armed = len(paths) == 0 && !lost
	return paths, lost
}
