package main

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/file"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// openSink opens the configured store for delivery of the kinds of m.
func openSink(c config.Store, m *activity.Model, log *zap.Logger) (sinks.Sink, error) {
	switch {
	case c.SQLite != nil:
		return sqlite.Open(*c.SQLite, sqlite.Options{Model: m, Logger: log})
	case c.Elasticsearch != nil:
		s, err := elasticsearch.Open(*c.Elasticsearch, elasticsearch.Options{Model: m, Logger: log})
		if err != nil {
			return nil, usageError{err}
		}
		return s, nil
	}
	return file.Open(*c.File, file.Options{})
}

// stuckAfter is how long an attempt to store a batch may take until the agent counts as stuck: longer than the requests of
// a batch take that all but fail. 0 is the agent's default.
func stuckAfter(c config.Store) time.Duration {
	if c.Elasticsearch == nil {
		return 0
	}
	return max(5*time.Minute, 10*c.Elasticsearch.RequestTimeout)
}

// openSearch opens the configured store for questions about the kinds of m.
func openSearch(c config.Store, m *activity.Model) (search.Store, func() error, error) {
	switch {
	case c.SQLite != nil:
		r, err := sqlite.OpenReader(*c.SQLite, m)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case c.Elasticsearch != nil:
		r, err := elasticsearch.OpenReader(*c.Elasticsearch, m)
		if err != nil {
			return nil, nil, usageError{err}
		}
		return r, r.Close, nil
	}
	return nil, nil, usageError{fmt.Errorf("store.file is write-only: read %s itself, or use another store to search", c.File.Path)}
}

// storeName says where documents go, for people.
func storeName(c config.Store) string {
	switch {
	case c.SQLite != nil:
		return c.SQLite.Path
	case c.Elasticsearch != nil && c.Elasticsearch.CloudID != "":
		name, _, _ := strings.Cut(c.Elasticsearch.CloudID, ":")
		return "Elastic Cloud, deployment " + name
	case c.Elasticsearch != nil:
		return "Elasticsearch at " + strings.Join(c.Elasticsearch.Addresses, ", ")
	case c.File.Path == "-":
		return "standard output"
	}
	return c.File.Path
}

// noStreams is the registry of commands that read nothing.
type noStreams struct{}

func (noStreams) Streams() []ledger.Stream             { return nil }
func (noStreams) PutStream(ledger.Stream) error        { return nil }
func (noStreams) ForgetStream(activity.StreamID) error { return nil }
func (noStreams) NextBatch() uint64                    { return 1 }
func (noStreams) DurableBefore(uint64) bool            { return false }
