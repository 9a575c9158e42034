package main

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/config"
)

// A reading is the read API beside an agent that runs, where there is one.
type reading struct {
	log  *zap.Logger
	stop context.CancelFunc // nil where there is none
	done chan struct{}
}

// begin serves the read API until end. Where nobody could ask, there is none: then it says what to do, or nothing if the
// configuration wants none.
func (r *reading) begin(c *config.Config) error {
	if c.API.Listen == "" || c.Store.File != nil {
		return nil
	}
	if err := access.NewGate(c.API.Auth).Way(); err != nil {
		r.log.Info("no read API until the next start", zap.Error(err))
		return nil
	}
	api, err := openReadAPI(c, r.log, nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan struct{})
	go func() {
		defer close(r.done)
		if err := errors.Join(api.listener.Serve(ctx), api.close()); err != nil {
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
