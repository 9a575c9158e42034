package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// DefaultAddress is where an agent listens that was not told otherwise.
const DefaultAddress = "http://127.0.0.1:8480"

// Config says where activities go, and what they may cost. The zero Config is fine.
type Config struct {
	// Address is http://HOST:PORT, unix:///PATH/OF/SOCKET, or file:///PATH/OF/LOG, where JSON lines are written for the
	// agent to tail. Empty: DefaultAddress.
	Address string
	// Token is what the agent asks for; "" sends none.
	Token string
	// TokenFile is the file of the token, in its place. It is read anew for each request.
	TokenFile string
	// QueueBytes is how many bytes of JSON may wait for the agent. 0: 8 MiB.
	QueueBytes int
	// MaxRecordBytes is the largest activity, in bytes of JSON; a larger one is rejected. 0: 1 MiB.
	MaxRecordBytes int
	// Block makes a call wait for room in a full queue, as long as its context allows, instead of dropping the activity.
	Block bool
	// RequestTimeout is how long one request may take. 0: 10 s.
	RequestTimeout time.Duration
	// Logger takes complaints, at most one a minute and never with values in them. nil: slog.Default().
	Logger *slog.Logger
}

// Errors of calls. The activity is counted in Stats either way; an application may well ignore them.
var (
	// ErrFull says that an activity was dropped, since there was no room in the queue.
	ErrFull = errors.New("client: no room in the queue; the activity was dropped")
	// ErrClosed says that an activity was dropped, since the client was closed.
	ErrClosed = errors.New("client: closed; the activity was dropped")
)

// Stats are what became of the activities so far. Logged is the sum of the others.
type Stats struct {
	Logged    int64 // calls that made an activity
	Delivered int64 // the agent has it on disk; of a file, the line is written
	Rejected  int64 // cannot be sent, or was refused by the agent
	Dropped   int64 // no room in the queue, or the client was closed
	Abandoned int64 // not delivered when Close ran out of time
	Pending   int64 // in the queue or under way
}

// A Client delivers activities to an agent. Its methods may be called from any goroutine.
type Client struct {
	c      Config
	queue  *queue
	way    way
	cancel context.CancelFunc // of what is under way
	done   chan struct{}      // the sender has ended

	mu         sync.Mutex
	complained time.Time
}

// Open starts a client. It does not wait for the agent, which may come later. The error is one of the address.
func Open(c Config) (*Client, error) {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = 8 << 20
	}
	if c.MaxRecordBytes <= 0 {
		c.MaxRecordBytes = 1 << 20
	}
	c.MaxRecordBytes = min(c.MaxRecordBytes, c.QueueBytes)
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	w, err := wayTo(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cl := &Client{c: c, queue: newQueue(c.QueueBytes), way: w, cancel: cancel, done: make(chan struct{})}
	go cl.send(ctx)
	return cl, nil
}

// Flush waits until everything logged so far is delivered or rejected. After that, what was delivered is on the agent's
// disk. The error is that of ctx, or ErrClosed.
func (c *Client) Flush(ctx context.Context) error { return c.queue.flush(ctx) }

// Close delivers what is left, as long as ctx allows, and ends the client. What is logged later is dropped. The error says
// how many activities were abandoned.
func (c *Client) Close(ctx context.Context) error {
	c.queue.end()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	c.cancel()
	<-c.done
	if n := c.queue.close(); n > 0 {
		return fmt.Errorf("client: %d activities could not be delivered to %s before the end", n, c.c.Address)
	}
	return nil
}

// Stats returns what became of the activities so far.
func (c *Client) Stats() Stats { return c.queue.snapshot() }

// complaining is the context of complaints. The Handler leaves them out: it may be what takes them, and the sender, whose
// complaints they are, must not wait for room that only it can make.
var complaining = context.WithValue(context.Background(), complaintKey{}, true)

type complaintKey struct{}

const complainEvery = time.Minute

// complain says what is wrong, unless it did so a moment ago: the counts are in Stats.
func (c *Client) complain(what string) {
	c.mu.Lock()
	now := time.Now()
	quiet := now.Sub(c.complained) < complainEvery
	if !quiet {
		c.complained = now
	}
	c.mu.Unlock()
	if !quiet {
		s := c.Stats()
		c.c.Logger.WarnContext(complaining, "activities: "+what, "pending", s.Pending, "dropped", s.Dropped, "rejected", s.Rejected)
	}
}

func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	b, err := os.ReadFile(c.TokenFile)
	return strings.TrimSpace(string(b)), err
}
