package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/live"
	"github.com/truledgr/activity-agent/api/remote"
	"github.com/truledgr/activity-agent/config"
)

// tokenVariable has the token for --url.
const tokenVariable = "ACTIVITY_AGENT_TOKEN"

// A source is what a command reads: the configured store, or the read API of --url.
type source struct {
	p                      *program
	cmd                    *cobra.Command
	config, url, tokenFile *string
	loaded                 *config.Config // nil until it is asked for
}

// sourceHelp explains the flags.
const sourceHelp = `Reads the configured store, while an agent may be writing to it, or with --url asks the read API at that address, as the
caller whose token is in --token-file or in the environment variable ` + tokenVariable + `.`

// sourceFlags adds the flags to a command.
func (p *program) sourceFlags(cmd *cobra.Command) *source {
	s := &source{p: p, cmd: cmd, config: configFlag(cmd)}
	s.url = cmd.Flags().String("url", "", "ask the read API at this `address`, such as https://activities.example.com, instead of the store")
	s.tokenFile = cmd.Flags().String("token-file", "", "`file` with the token for --url; "+tokenVariable+" otherwise")
	return s
}

// model returns the kinds and fields of the configuration. For an API, which has its own, they are the built-in ones.
func (s *source) model() (*activity.Model, error) {
	if *s.url != "" {
		return nil, nil
	}
	c, err := load(*s.config)
	if err != nil {
		return nil, err
	}
	s.loaded = c
	return c.Model(), nil
}

// A reader is a store or an API as commands ask it.
type reader interface {
	search.Searcher
	Count(ctx context.Context, q search.Query) (int64, error)
	Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error)
}

// open opens it for questions, after model; done must be called.
func (s *source) open() (store reader, done func() error, err error) {
	if *s.url == "" {
		if *s.tokenFile != "" {
			return nil, nil, usageError{errors.New("--token-file is for --url: the store needs no token")}
		}
		return openSearch(s.loaded.Store, s.loaded.Model())
	}
	if s.cmd.Flags().Changed("config") {
		return nil, nil, usageError{errors.New("--url and -c: give one of them")}
	}
	c, err := remote.Open(*s.url, s.token)
	if err != nil {
		return nil, nil, usageError{err}
	}
	return c, c.Close, nil
}

// token reads the token, each time anew: it may be renewed.
func (s *source) token() (string, error) {
	if *s.tokenFile == "" {
		return strings.TrimSpace(s.p.getenv(tokenVariable)), nil
	}
	text, err := os.ReadFile(*s.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// A subscription is live activities, of a store or of an API.
type subscription interface {
	Mark() string
	Next(ctx context.Context) (live.Event, error)
	Close()
}

// follower returns what subscribes to the activities, whole, that arrive at a store that open has opened.
func follower(store reader, q search.Query) (func(ctx context.Context, after string) (subscription, error), error) {
	switch s := store.(type) {
	case *remote.Client:
		q.Fields = nil
		return func(ctx context.Context, after string) (subscription, error) { return s.Follow(ctx, q, after) }, nil
	case search.Follower:
		match, err := search.NewMatcher(q)
		if err != nil {
			return nil, usageError{err}
		}
		hub := live.New(s, zap.NewNop())
		return func(ctx context.Context, after string) (subscription, error) { return hub.Subscribe(ctx, match, after) }, nil
	}
	return nil, errors.New("this store does not tell what arrives")
}
