package main

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/config"
)

// A reading is the read API beside an agent that runs, where there is one.
type reading struct {
	log      *zap.Logger
	took     *prometheus.HistogramVec // how long requests took, also before a reload
	recorder api.Recorder             // the agent's; nil where the read API is not wanted
	stop     context.CancelFunc       // nil where there is none
	done     chan struct{}
}

// wantsReading reports whether the read API is to be served beside the agent. Where nobody could ask, it says what to do.
func wantsReading(c *config.Config, log *zap.Logger) bool {
	if c.API.Listen == "" || c.Store.File != nil {
		return false
	}
	err := access.NewGate(c.API.Auth).Way()
	if err != nil {
		log.Info("no read API until the next start", zap.Error(err))
	}
	return err == nil
}

// begin serves the read API, where it is wanted, until end.
func (r *reading) begin(c *config.Config) error {
	if r.recorder == nil {
		return nil
	}
	served, err := openReadAPI(c, r.log, r.recorder, r.took)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan struct{})
	go func() {
		defer close(r.done)
		if err := errors.Join(served.listener.Serve(ctx), served.close()); err != nil {
			r.log.Error("the read API has ended", zap.Error(err))
		}
	}()
	return nil
}

// again serves with another configuration. The agent does not end because of it.
func (r *reading) again(c *config.Config) {
	if r.stop == nil {
		return
	}
	r.end()
	if err := r.begin(c); err != nil {
		r.log.Error("no read API until the next start", zap.Error(err))
	}
}

// end ends the read API, and waits.
func (r *reading) end() {
	if r.stop != nil {
		r.stop()
		<-r.done
		r.stop = nil
	}
}
