package elasticsearch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// maxAnswer bounds what is read of one answer, in bytes: a page of a thousand documents, or a bulk request refused item
// by item, is far below.
const maxAnswer = 128 << 20

// A client makes single attempts at requests. It goes round the nodes and leaves out those that do not answer for a
// while; whether and when to try again is the caller's business. It checks neither product nor version, and asks nothing
// when it is made.
type client struct {
	nodes   *elastictransport.Client
	http    *http.Transport
	secrets *secrets
	timeout time.Duration
}

func newClient(c Config) (*client, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	urls, err := c.urls()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: c.Concurrency,
		IdleConnTimeout:     30 * time.Second, // before load balancers end them
		DisableCompression:  true,             // answers are short
		WriteBufferSize:     32 << 10,
	}
	nodes, err := elastictransport.NewClient(
		elastictransport.WithURLs(urls...), elastictransport.WithTransport(t),
		elastictransport.WithDisableRetry(), elastictransport.WithUserAgent("activity-agent"))
	if err != nil {
		return nil, fmt.Errorf("store.elasticsearch: %w", err)
	}
	return &client{nodes: nodes, http: t, secrets: newSecrets(c), timeout: c.RequestTimeout}, nil
}

// tls trusts the system's certificates and those of ca_cert. There is no way to trust anything else.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fmt.Errorf("store.elasticsearch.ca_cert: %w", err)
		}
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("store.elasticsearch.ca_cert: %s holds no certificate in PEM form", c.CACert)
		}
	}
	if c.ClientCert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
			if err != nil {
				return nil, fmt.Errorf("store.elasticsearch.client_cert: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return t, nil
}

// close ends idle connections.
func (c *client) close() error {
	err := c.nodes.Close(context.Background())
	c.http.CloseIdleConnections()
	return err
}

// Perform sends one request to one node. It makes client an esapi.Transport.
func (c *client) Perform(req *http.Request) (*http.Response, error) {
	auth, err := c.secrets.authorization()
	if err != nil {
		return nil, err
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	return c.nodes.Perform(req)
}

// call makes one attempt at a request and returns the whole answer. A status from 400 on is an *Error; where nothing
// readable came, the error is another.
func (c *client) call(ctx context.Context, op string, r esapi.Request) ([]byte, error) {
	return c.callInto(ctx, nil, op, r, nil)
}

// callInto is call that reads the answer into the memory of dst, with a taker for the answer to a request that was fulfilled.
func (c *client) callInto(ctx context.Context, dst []byte, op string, r esapi.Request, take taker) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := r.Do(ctx, c)
	if err != nil {
		return nil, c.failed(ctx, op, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 400 {
		take = nil
	}
	answer, err := readAnswer(dst, res.Body, take)
	if err != nil {
		return nil, c.failed(ctx, op, err)
	}
	if res.StatusCode >= 400 {
		return nil, c.refused(op, res.StatusCode, res.Header, answer)
	}
	return answer, nil
}

// A request is one that esapi has no type for.
type request struct {
	method, path string
	body         []byte
}

// Do implements esapi.Request.
func (r request) Do(ctx context.Context, to esapi.Transport) (*esapi.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := to.Perform(req) //nolint:bodyclose // call closes it, as that of every Request
	if err != nil {
		return nil, err
	}
	return &esapi.Response{StatusCode: res.StatusCode, Header: res.Header, Body: res.Body}, nil
}

// failed explains an error of the way there or back.
func (c *client) failed(ctx context.Context, op string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer from Elasticsearch within %v: %w", op, c.timeout, context.DeadlineExceeded)
	}
	if !ofTheWay(err) {
		err = errNoHTTP
	}
	return fmt.Errorf("%s: cannot reach Elasticsearch: %w", op, err)
}

// errNoHTTP stands for what net/http says of an answer that it cannot read, which quotes the answer.
var errNoHTTP = errors.New("what answers does not speak HTTP, or breaks off; check store.elasticsearch.addresses and what stands in between")

// ofTheWay reports whether an error is about the connection, so that its text holds nothing of an answer.
func ofTheWay(err error) bool {
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, context.Canceled, errLong, http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return true
		}
	}
	var (
		network     net.Error
		errno       syscall.Errno
		certificate *tls.CertificateVerificationError
		ours        *secretError
	)
	return errors.As(err, &network) || errors.As(err, &errno) || errors.As(err, &certificate) || errors.As(err, &ours)
}

var errLong = errors.New("the answer is too long")

// A taker gets what has arrived of an answer so far, and returns what is to be kept of it, in the same memory.
type taker func(arrived []byte) (kept []byte)

// readAnswer reads all of r into the memory of dst, and lets take, where there is one, use it as it arrives.
func readAnswer(dst []byte, r io.Reader, take taker) ([]byte, error) {
	dst = dst[:0]
	for left := maxAnswer; ; {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if left -= n; left < 0 {
			return dst, errLong
		}
		if take != nil {
			dst = take(dst)
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
