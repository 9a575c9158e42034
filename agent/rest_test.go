package agent

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestTheAgentRestsOnceWhenEverythingIsDelivered(t *testing.T) {
	release := make(chan struct{})
	f := newFixture(t, 3, func(int, *pipeline.Batch, []sinks.Result) (bool, error) {
		<-release
		return false, nil
	})
	f.agent.o.ExitWhenIdle = 0
	ctx, cancel := context.WithCancel(t.Context())
	var trims atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.agent.rest(ctx, func() { trims.Add(1) }, 20*time.Millisecond, 5*time.Millisecond)
	}()
	go func() {
		defer cancel()
		time.Sleep(100 * time.Millisecond) // the batch is under way, or not yet read
		if trims.Load() != 0 && f.agent.Account().InFlight > 0 {
			t.Error("it rests with a batch under way")
		}
		close(release)
		for deadline := time.Now().Add(20 * time.Second); trims.Load() == 0 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
	}()
	if _, err := f.run(t, ctx); err != nil {
		t.Fatal(err)
	}
	<-ended
	if n := trims.Load(); n != 1 {
		t.Errorf("it rested %d times", n)
	}
}
