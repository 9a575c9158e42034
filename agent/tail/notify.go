package tail

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// notifyPause is slept after each notification: what a busy program writes meanwhile is one notification, made
	// into one by the kernel, and not one for each line.
	notifyPause = 10 * time.Millisecond
	// maxNotified is how many files are remembered by name; with more of them, all are looked at.
	maxNotified = 256
)

// A notifier turns the notifications of the file system into one sign: look. They are a hint and nothing more: network
// file systems, FUSE and other machines' writes give none, and queues overflow.
type notifier struct {
	wake chan struct{} // one element

	log     *zap.Logger
	watcher *fsnotify.Watcher // nil: polling only
	done    chan struct{}
	ended   sync.WaitGroup

	failed bool // some directory is not watched; used by the tailer's goroutine only
	warned bool

	mu    sync.Mutex
	paths map[string]bool
	scan  bool
}

// newNotifier starts the goroutine that stop ends.
func newNotifier(log *zap.Logger, off bool) *notifier {
	n := &notifier{
		wake: make(chan struct{}, 1), log: log, done: make(chan struct{}), paths: map[string]bool{},
	}
	if off {
		return n
	}
	w, err := fsnotify.NewBufferedWatcher(maxNotified)
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
		_ = n.watcher.Close()
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
	failed := false
	for dir := range dirs {
		if watched[dir] {
			continue
		}
		if err := n.watcher.Add(dir); err != nil {
			failed = true
			n.fail(err)
		}
	}
	n.failed = failed
}

func (n *notifier) fail(err error) {
	if !n.warned {
		n.log.Warn("no notifications of file changes; files are polled instead (for inotify limits see fs.inotify.max_user_watches)",
			zap.Error(err))
	}
	n.failed, n.warned = true, true
}

func (n *notifier) run() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-n.done:
			return
		case e, ok := <-n.watcher.Events:
			if !ok {
				return
			}
			n.note(e)
		case _, ok := <-n.watcher.Errors:
			if !ok {
				return
			}
			n.note(fsnotify.Event{Op: fsnotify.Create}) // an overflow or not: something was missed
		}
		n.poke()
		pause.Reset(notifyPause)
		select {
		case <-n.done:
			return
		case <-pause.C:
		}
		n.noteRest()
	}
}

// noteRest takes in what has come during the pause.
func (n *notifier) noteRest() {
	for {
		select {
		case e, ok := <-n.watcher.Events:
			if !ok {
				return
			}
			n.note(e)
			n.poke()
		default:
			return
		}
	}
}

// poke wakes the tailer, unless it is being woken.
func (n *notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) note(e fsnotify.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 || len(n.paths) >= maxNotified {
		n.scan = true
		return
	}
	n.paths[e.Name] = true
}

// take returns what has happened since the last call: the files that were written to, and whether files have come,
// gone or been renamed.
func (n *notifier) take() (paths []string, scan bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.paths {
		paths = append(paths, p)
	}
	clear(n.paths)
	scan, n.scan = n.scan, false
	return paths, scan
}
