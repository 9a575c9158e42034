package tail

import (
	"go.uber.org/zap"
)

// A notifier gives hints of what happens in directories, and nothing more: network file systems, FUSE and other machines'
// writes give none, and queues overflow. They come in two kinds, each of which tells once, on its channel, that something has
// happened, and no more until the tailer has looked: a program that writes a thousand lines a second does not wake it a
// thousand times, and one that only writes does not delay the news of a rotation.
type notifier struct {
	named   chan struct{} // files have come, gone or been renamed; one element
	written chan struct{} // files have been written to; one element

	log    *zap.Logger
	source *eventSource // nil: polling only

	failed bool // some directory is not watched; used by the tailer's goroutine only
	warned bool
}

// newNotifier starts the goroutines that stop ends.
func newNotifier(log *zap.Logger, off bool) *notifier {
	n := &notifier{named: make(chan struct{}, 1), written: make(chan struct{}, 1), log: log}
	if off {
		return n
	}
	var err error
	if n.source, err = newEventSource(n.named, n.written); err != nil {
		n.fail(err)
	}
	return n
}

func (n *notifier) stop() {
	if n.source != nil {
		n.source.close()
	}
}

// watch sees to it that what happens in dirs is noticed, and no longer what happens elsewhere. A directory that was
// deleted and made anew meanwhile is watched anew.
func (n *notifier) watch(dirs map[string]bool) {
	if n.source == nil {
		return
	}
	err := n.source.watch(dirs)
	if n.failed = err != nil; n.failed {
		n.fail(err)
	}
}

func (n *notifier) fail(err error) {
	if !n.warned {
		n.log.Warn("no notifications of file changes; files are polled instead (for inotify limits see fs.inotify.max_user_watches and max_user_instances)",
			zap.Error(err))
	}
	n.failed, n.warned = true, true
}

// writes returns the files that have been written to since the last call. If it returns none, the next write is told of on
// the channel; otherwise only another call tells. With lost there were more: all files are to be looked at.
func (n *notifier) writes() (paths map[string]bool, lost bool) {
	if n.source == nil {
		return nil, false
	}
	return n.source.writes()
}

// poke says on a channel of one element that there is something.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
