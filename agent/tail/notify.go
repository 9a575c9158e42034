package tail

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// maxNotified is how many files are remembered by name; with more of them, all are looked at.
const maxNotified = 256

// burst is how long events are taken once the tailer knows that there are some. After that they wait until it has looked: the
// queue of fsnotify, which holds one, is left full, and the kernel makes one of what is alike. Taken as it comes, each line of
// a program that writes a thousand a second would wake two threads of the runtime. So the news of a rotation may wait for the
// next look, which is no further off than Options.Linger; where there was one not long ago, the next waits no longer than rest.
const (
	burst   = 5 * time.Millisecond
	rest    = 20 * time.Millisecond
	longAgo = 10 * time.Second
)

// A notifier gives hints of what happens in directories, and nothing more: network file systems, FUSE and other machines'
// writes give none, and queues overflow. They come in two kinds, each of which tells once, on its channel, that something has
// happened, and no more until the tailer has looked: a program that writes a thousand lines a second does not wake it a
// thousand times, and one that only writes does not delay the news of a rotation.
type notifier struct {
	named   chan struct{} // files have come, gone or been renamed; one element
	written chan struct{} // files have been written to; one element
	looked  chan struct{} // the tailer has; one element

	log     *zap.Logger
	watcher *fsnotify.Watcher // nil: polling only
	done    chan struct{}
	ended   sync.WaitGroup

	failed bool // some directory is not watched; used by the tailer's goroutine only
	warned bool

	mu    sync.Mutex
	armed bool // written is to be poked
	paths map[string]bool
	lost  bool
}

// newNotifier starts the goroutine that stop ends.
func newNotifier(log *zap.Logger, off bool) *notifier {
	n := &notifier{
		named: make(chan struct{}, 1), written: make(chan struct{}, 1), looked: make(chan struct{}, 1),
		log: log, done: make(chan struct{}), armed: true, paths: map[string]bool{},
	}
	if off {
		return n
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		n.fail(err)
		return n
	}
	n.watcher = w
	n.ended.Go(n.run)
	return n
}

func (n *notifier) stop() {
	close(n.done)
	if n.watcher != nil {
		_ = n.watcher.Close() // closes its channels
	}
	n.ended.Wait()
}

// watch sees to it that what happens in dirs is noticed, and no longer what happens elsewhere. A directory that was
// deleted and made anew meanwhile is watched anew.
func (n *notifier) watch(dirs map[string]bool) {
	if n.watcher == nil {
		return
	}
	watched := map[string]bool{}
	for _, dir := range n.watcher.WatchList() {
		watched[dir] = true
		if !dirs[dir] {
			_ = n.watcher.Remove(dir) // fails if the directory is gone, and the watch with it
		}
	}
	n.failed = false
	for dir := range dirs {
		if watched[dir] {
			continue
		}
		if err := n.watcher.Add(dir); err != nil {
			n.fail(err)
		}
	}
}

func (n *notifier) fail(err error) {
	if !n.warned {
		n.log.Warn("no notifications of file changes; files are polled instead (for inotify limits see fs.inotify.max_user_watches and max_user_instances)",
			zap.Error(err))
	}
	n.failed, n.warned = true, true
}

// run sorts what is told.
func (n *notifier) run() {
	began := time.Now() // the burst under way
	var rotated time.Time
	for {
		select {
		case e, ok := <-n.watcher.Events:
			if !ok {
				return
			}
			if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
				poke(n.named)
				rotated = time.Now()
				continue
			}
			if told := n.note(e.Name); told && time.Since(began) > burst {
				n.await(time.Since(rotated) < longAgo)
				began = time.Now()
			}
		case _, ok := <-n.watcher.Errors:
			if !ok {
				return
			}
			poke(n.named) // an overflow or not: something was missed
		}
	}
}

// await lets events gather until the tailer looks, or not so long.
func (n *notifier) await(short bool) {
	var rested <-chan time.Time
	if short {
		t := time.NewTimer(rest)
		defer t.Stop()
		rested = t.C
	}
	select {
	case <-n.looked:
	case <-rested:
	case <-n.done:
	}
}

// note remembers a file that was written to. It reports whether the tailer has been told of one before, and not looked yet.
func (n *notifier) note(path string) (told bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost = n.lost || len(n.paths) >= maxNotified; !n.lost {
		n.paths[path] = true
	}
	if !n.armed {
		return true
	}
	n.armed = false
	poke(n.written)
	return false
}

// writes returns the files that have been written to since the last call. If it returns none, the next write is told of on
// the channel; otherwise only another call tells. With lost there were more: all files are to be looked at.
func (n *notifier) writes() (paths map[string]bool, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	paths, lost = n.paths, n.lost
	n.paths, n.lost = map[string]bool{}, false
	n.armed = len(paths) == 0 && !lost
	poke(n.looked)
	return paths, lost
}

// poke says on a channel of one element that there is something.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
