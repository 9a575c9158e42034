package client

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/slogtest"
	"time"
)

// TestHandlerKeepsTheRulesOfSlog shows the handler's events to the standard library's test as it expects them.
func TestHandlerKeepsTheRulesOfSlog(t *testing.T) {
	var l log
	slogtest.Run(t,
		func(t *testing.T) slog.Handler {
			l = newLog(t)
			return l.Handler(HandlerOptions{})
		},
		func(t *testing.T) map[string]any {
			e := l.last()
			m := map[string]any{slog.TimeKey: e["@timestamp"], slog.LevelKey: e["severity"], slog.MessageKey: e["description"]}
			if strings.Contains(t.Name(), "zero-time") {
				delete(m, slog.TimeKey) // every event has a time: then it is that of the call
			}
			if details, ok := e["details"].(map[string]any); ok {
				maps.Copy(m, details)
			}
			return m
		})
}

func TestARecordIsASystemEvent(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	log := slog.New(l.Handler(HandlerOptions{AddSource: true})).With("component", "billing", "user_id", "u1")
	log.WithGroup("order").Warn("order is late", "id", 7, "status", "late", slog.Group("by", "hours", 3), "err", errors.New("no truck"),
		"wait", 90*time.Second, "bad", func() {})
	e := l.last()
	if e["kind"] != "system_event" || e["severity"] != "warning" || e["description"] != "order is late" || e["component"] != "billing" || e["user_id"] != "u1" {
		t.Errorf("logged %v", e)
	}
	details := e["details"].(map[string]any)
	if !strings.Contains(details["source"].(string), "slog_test.go:") {
		t.Errorf("source %v", details["source"])
	}
	want := `{"bad":"<func()>","by":{"hours":3},"err":"no truck","id":7,"status":"late","wait":"1m30s"}`
	if got, _ := json.Marshal(details["order"]); strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(got)) != want {
		t.Errorf("details %s, want %s", got, want)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	log := slog.New(l.Handler(HandlerOptions{Level: slog.Level(-8)}))
	var got []string
	for _, level := range []slog.Level{-9, -8, slog.LevelDebug, slog.LevelInfo, 2, slog.LevelWarn, slog.LevelError, 12} {
		log.Log(context.Background(), level, "x")
		if level >= -8 {
			got = append(got, l.last()["severity"].(string))
		}
	}
	if want := []string{"trace", "debug", "info", "info", "warning", "error", "critical"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	assertStats(t, l.Client, Stats{Logged: 7, Delivered: 7})
}

func TestLoggersThatShareAttributesStayApart(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	base := slog.New(l.Handler(HandlerOptions{})).With("a", 1)
	first, second := base.With("b", 1), base.With("b", 2)
	first.Info("x")
	if got := l.last()["details"]; !reflect.DeepEqual(got, map[string]any{"a": 1.0, "b": 1.0}) {
		t.Errorf("got %v", got)
	}
	second.Info("x")
	if got := l.last()["details"]; !reflect.DeepEqual(got, map[string]any{"a": 1.0, "b": 2.0}) {
		t.Errorf("got %v", got)
	}
}

// The sender complains through the very handler that takes its activities: that must not become one, nor wait for room.
func TestComplaintsMakeNoActivities(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	var n atomic.Int32
	s.respond = func(*http.Request, []byte) int {
		if n.Add(1) == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusAccepted
	}
	through := &late{}
	c := open(t, Config{Address: s.URL, QueueBytes: 200, Block: true, Logger: slog.New(through)})
	through.Handler = c.Handler(HandlerOptions{})
	for range 10 {
		must(t)(c.CreateActivity(t.Context(), Activity{}))
	}
	flush(t, c)
	assertStats(t, c, Stats{Logged: 10, Delivered: 10})
	if n := through.handled.Load(); n != 1 {
		t.Errorf("%d complaints, want 1", n)
	}
}

// A late handler gets the one that it stands for after it was handed on.
type late struct {
	slog.Handler
	handled atomic.Int32
}

func (l *late) Enabled(context.Context, slog.Level) bool { return true }

func (l *late) Handle(ctx context.Context, r slog.Record) error {
	l.handled.Add(1)
	return l.Handler.Handle(ctx, r)
}
