package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// wayTo opens the way to the address of c.
func wayTo(c Config) (way, error) {
	u, err := url.Parse(c.Address)
	plain := err == nil && u.RawQuery == "" && u.Fragment == "" && u.User == nil
	switch {
	case plain && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return newHTTPWay(c, strings.TrimSuffix(c.Address, "/"), "tcp", ""), nil
	case plain && u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return newHTTPWay(c, "http://localhost", "unix", u.Path), nil
	case plain && u.Scheme == "file" && u.Host == "" && u.Path != "":
		return &fileWay{path: u.Path}, nil
	}
	return nil, fmt.Errorf("client: the address of the agent is %q; write http://127.0.0.1:8480, unix:///run/agent.sock or file:///var/log/app.log", c.Address)
}

// httpWay posts to /v1/activities, over TCP or a Unix socket.
type httpWay struct {
	url    string
	token  func() (string, error)
	client *http.Client
}

// newHTTPWay makes a way that uses no proxy, follows no redirect, and has one connection. socket is the path of a Unix
// socket, of that network.
func newHTTPWay(c Config, base, network, socket string) *httpWay {
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		if network == "unix" {
			addr = socket
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return &httpWay{base + "/v1/activities", c.token, &http.Client{
		Transport:     &http.Transport{DialContext: dial, MaxConnsPerHost: 1, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

func (w *httpWay) send(ctx context.Context, lines [][]byte, key string) answer {
	token, err := w.token()
	if err != nil {
		return answer{why: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(bytes.Join(lines, newline)))
	if err != nil {
		return answer{why: err.Error()}
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", key)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{why: err.Error()}
	}
	// What the body says is for people; that it cannot be read changes nothing.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	return answerOf(resp, body)
}

// answerOf reads an answer of the agent.
func answerOf(resp *http.Response, body []byte) answer {
	a := answer{why: "HTTP " + strconv.Itoa(resp.StatusCode)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		a.why += ": " + strings.TrimSpace(string(body[:min(len(body), 1000)]))
	}
	switch resp.StatusCode {
	case http.StatusAccepted:
		return answer{fate: delivered}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		a.fate = refused // only these are about the records; everything else is about the agent or the way to it, and passes
	default:
		a.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return a
}

const maxRetryAfter = time.Minute

// retryAfter reads the header of that name; 0 is none. Whatever answers "0" must not keep a processor busy.
func retryAfter(v string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(max(time.Duration(s)*time.Second, firstPause), maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), firstPause), maxRetryAfter)
	}
	return 0
}

func (w *httpWay) close() { w.client.CloseIdleConnections() }

// fileWay appends lines to a file that the agent tails. Several processes may write to one file: each batch is one write at
// its end. A file that was renamed or removed is left, and a new one begun, so that it can be rotated by any tool.
type fileWay struct {
	path string
	file *os.File
	torn bool // the last write ended within a line
}

var newline = []byte("\n")

func (w *fileWay) send(_ context.Context, lines [][]byte, _ string) answer {
	err := w.current()
	if err == nil {
		err = w.write(w.file, append(bytes.Join(lines, newline), '\n'))
	}
	if err != nil {
		return answer{why: err.Error()}
	}
	return answer{fate: delivered}
}

// current opens the file that the path names now.
func (w *fileWay) current() error {
	if w.file != nil {
		open, err1 := w.file.Stat()
		named, err2 := os.Stat(w.path)
		switch {
		case err1 == nil && err2 == nil && os.SameFile(open, named):
			return nil
		case err1 == nil && err2 != nil && !errors.Is(err2, fs.ErrNotExist):
			return err2
		}
		w.close()
	}
	// The agent, which may run as another user, reads it by its group.
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	w.file, w.torn = f, false
	return nil
}

// write writes all of data. What a full disk cut off is ended, and written again as a whole at the next try.
func (w *fileWay) write(f io.Writer, data []byte) error {
	if w.torn {
		data = append([]byte("\n"), data...)
	}
	n, err := f.Write(data)
	if n > 0 {
		w.torn = data[n-1] != '\n'
	}
	return err
}

func (w *fileWay) close() {
	if w.file != nil {
		_ = w.file.Close() // everything was written; nothing is promised of the disk
		w.file = nil
	}
}
