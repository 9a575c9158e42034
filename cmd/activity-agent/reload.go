package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/sinks"
)

// lookEvery is how often the configuration's files are looked at. A change is taken up when two looks in a row have seen
// the same, so that a file that is being written is not read in the middle.
const lookEvery = 2 * time.Second

// A reloader has a running agent take up its configuration again when that has changed.
type reloader struct {
	p       *program
	path    string
	current *config.Config
	agent   *agent.Agent
	reading *reading
	level   zap.AtomicLevel
	log     *zap.Logger
}

// watch reloads when it is asked to and when a file has changed, until ctx is done. Files are looked at by their names,
// through all links: a ConfigMap is changed by putting another directory in the place of the old one.
func (r *reloader) watch(ctx context.Context, asked <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	taken := r.look()
	for last := taken; ; {
		why := "asked to by SIGHUP"
		select {
		case <-ctx.Done():
			return
		case <-asked:
		case <-tick.C:
			before := last
			if last = r.look(); last == taken || last != before {
				continue
			}
			why = "a file has changed"
		}
		taken = r.look() // before it is read: what is written meanwhile is another change
		last = taken
		r.reload(why)
	}
}

// look tells one state of the configuration's files from another.
func (r *reloader) look() string {
	var b strings.Builder
	for _, path := range r.current.Sources() {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintln(&b, err)
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintln(&b, st.Dev, st.Ino)
		}
		fmt.Fprintln(&b, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

func (r *reloader) reload(why string) {
	next, err := r.p.loadRun(r.path)
	if err == nil {
		err = r.apply(next, why)
	}
	if err != nil {
		r.agent.Reloaded("", err)
		r.log.Error("the changed configuration is refused; the one before stays in force", zap.String("why", why), zap.Error(err))
	}
}

// apply has the agent take up what is different in next, all of it or nothing.
func (r *reloader) apply(next *config.Config, why string) error {
	var changed, fixed []string
	for _, c := range r.current.Changes(next) {
		changed = append(changed, c.Key)
		if c.Restart {
			fixed = append(fixed, c.Key)
		}
	}
	if len(fixed) > 0 {
		return fmt.Errorf("%s cannot change while the agent runs; restart it to take up the new configuration", strings.Join(fixed, ", "))
	}
	level, err := zapcore.ParseLevel(next.Log.Level)
	if err != nil {
		return err
	}
	var sink sinks.Sink
	if !reflect.DeepEqual(r.current.Store, next.Store) {
		if sink, err = openSink(next.Store, next.Model(), r.log); err != nil {
			return err
		}
	}
	err = r.agent.Reconfigure(agent.Settings{
		DrainTimeout: next.Agent.DrainTimeout, StuckAfter: stuckAfter(next.Store), Files: next.Files, Pipeline: next.Pipeline, Sink: sink,
		Origin: agent.OriginOf(next.Agent, r.p.getenv, r.p.hostname),
	})
	if err != nil {
		if sink != nil {
			_ = sink.Close()
		}
		return err
	}
	r.level.SetLevel(level)
	if sink != nil || !reflect.DeepEqual(r.current.Pipeline.Redact, next.Pipeline.Redact) { // which has the key of pseudonyms
		r.reading.again(next)
	}
	r.current = next
	r.agent.Reloaded(next.Hash(), nil)
	r.log.Info("configuration taken up", zap.String("why", why), zap.Strings("changed", changed), zap.String("hash", next.Hash()))
	return nil
}
