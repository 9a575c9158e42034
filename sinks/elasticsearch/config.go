package elasticsearch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// Config is `store.elasticsearch`.
type Config struct {
	// Addresses of the cluster's nodes, such as "https://es:9200". This, or CloudID.
	Addresses []string `yaml:"addresses"`
	// CloudID names an Elastic Cloud deployment in place of addresses.
	CloudID string `yaml:"cloud_id"`
	// APIKey is the encoded API key. This, or Username and Password, or neither.
	APIKey string `yaml:"api_key" secret:"true"`
	// APIKeyFile holds the key; it is read again when it changes, and after a 401. It goes before APIKey. Package config
	// sets it from `api_key: ${file:…}`.
	APIKeyFile string `yaml:"api_key_file"`
	Username   string `yaml:"username"`
	Password   string `yaml:"password" secret:"true"`
	// PasswordFile is to Password what APIKeyFile is to APIKey.
	PasswordFile string `yaml:"password_file"`
	// CACert is a PEM file with certificates to trust beside the system's.
	CACert string `yaml:"ca_cert"`
	// ClientCert and ClientKey are PEM files of the client's own certificate; they are read for each new connection.
	ClientCert string `yaml:"client_cert"`
	ClientKey  string `yaml:"client_key"`
	// IndexPrefix begins the names of indices and templates, and is the name of the alias over all. Default activities.
	IndexPrefix string `yaml:"index_prefix"`
	// Period is how much time an index covers: "day", "week" or "month" (default).
	Period string `yaml:"period"`
	// Periods holds the period of single kinds.
	Periods Periods `yaml:"periods"`
	// Flavor is what answers: "elasticsearch" (default) or "opensearch", which names some types and requests differently.
	Flavor string `yaml:"flavor"`
	// Expiry is who deletes indices for their age: "cluster" (default), by the life-cycle policies that setup makes, or
	// "agent", where the cluster has none.
	Expiry string `yaml:"expiry"`
	// WarmAfter is the age at which the policies move indices to warm nodes, such as "30d"; "" (default) is never.
	WarmAfter string `yaml:"warm_after"`
	// Compression of requests: "gzip" (default) or "none".
	Compression string `yaml:"compression"`
	// CompressionLevel is gzip's, 1 (fastest, default) to 9.
	CompressionLevel int `yaml:"compression_level"`
	// MaxBody bounds the documents of one request, in bytes before compression. Default 5 MiB.
	MaxBody int `yaml:"max_body"`
	// RequestTimeout is how long one request may take. Default 30 s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// Concurrency is how many requests may be under way at once. Default 2. A store that is overloaded gets fewer.
	Concurrency int `yaml:"concurrency"`
}

// The values of Config.Flavor and Config.Expiry.
const (
	FlavorElasticsearch = "elasticsearch"
	FlavorOpenSearch    = "opensearch"

	ExpiryCluster = "cluster"
	ExpiryAgent   = "agent"
)

// Periods is `store.elasticsearch.periods`: the period of a kind, "" for that of all.
type Periods struct {
	Activity       string `yaml:"activity"`
	APITransaction string `yaml:"api_transaction"`
	DataAccess     string `yaml:"data_access"`
	DataChange     string `yaml:"data_change"`
	AuthEvent      string `yaml:"auth_event"`
	ExternalAPI    string `yaml:"external_api"`
	SystemEvent    string `yaml:"system_event"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config {
	return Config{
		IndexPrefix: "activities", Period: "month", Flavor: FlavorElasticsearch, Expiry: ExpiryCluster, Compression: "gzip", CompressionLevel: 1,
		MaxBody: 5 << 20, RequestTimeout: 30 * time.Second, Concurrency: 2,
	}
}

// Target returns where documents go: the prefix of the index names, and by activity.Kind the period that an index covers.
func (c Config) Target() (prefix string, periods []string) {
	p := c.Periods
	periods = []string{
		activity.Plain: p.Activity, activity.APITransaction: p.APITransaction, activity.DataAccess: p.DataAccess,
		activity.DataChange: p.DataChange, activity.AuthEvent: p.AuthEvent, activity.ExternalAPI: p.ExternalAPI,
		activity.SystemEvent: p.SystemEvent,
	}
	for k := range periods {
		if periods[k] == "" {
			periods[k] = c.Period
		}
	}
	return c.IndexPrefix, periods
}

// target is Target for the kinds of m; those that it declares have the period of all.
func (c Config) target(m *activity.Model) target {
	t := target{model: m}
	t.prefix, t.periods = c.Target()
	for range m.CustomNames() {
		t.periods = append(t.periods, c.Period)
	}
	return t
}

// prefix is what Elasticsearch takes as the beginning of an index name, with the characters left out that wildcards and
// lists of names give a meaning to.
var prefix = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// validate reports everything that is wrong with c, with what to do.
func (c Config) validate() error {
	var errs []error
	note := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("store.elasticsearch."+format, args...))
	}
	if (len(c.Addresses) == 0) == (c.CloudID == "") {
		note("addresses: name the cluster by its addresses or by cloud_id, one of the two")
	}
	if (c.APIKey != "" || c.APIKeyFile != "") && c.Username != "" {
		note("api_key: there is a username as well; keep one of the two")
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		note("client_cert: it takes both client_cert and client_key")
	}
	if advice := CheckPrefix(c.IndexPrefix); advice != "" {
		note("index_prefix: %s", advice)
	}
	_, periods := c.Target()
	for k, p := range periods {
		if p != "day" && p != "week" && p != "month" {
			note("periods: that of %s is none of day, week, month", activity.Kind(k))
		}
	}
	if c.Flavor != FlavorElasticsearch && c.Flavor != FlavorOpenSearch {
		note("flavor: write elasticsearch or opensearch")
	}
	if c.Expiry != ExpiryCluster && c.Expiry != ExpiryAgent {
		note("expiry: write cluster or agent")
	}
	if _, err := activity.ParseAge(c.WarmAfter); err != nil && c.WarmAfter != "" {
		note("warm_after: %w", err)
	}
	if c.Compression != "gzip" && c.Compression != "none" {
		note("compression: write gzip or none")
	}
	if c.CompressionLevel < 1 || c.CompressionLevel > 9 {
		note("compression_level: write a number from 1 to 9")
	}
	if c.MaxBody < 1 || c.RequestTimeout <= 0 || c.Concurrency < 1 {
		note("max_body, request_timeout and concurrency must be more than 0")
	}
	_, err := c.urls()
	return errors.Join(append(errs, err)...)
}

// urls returns the nodes' addresses.
func (c Config) urls() ([]*url.URL, error) {
	addresses := c.Addresses
	if c.CloudID != "" {
		address, ok := cloudAddress(c.CloudID)
		if !ok {
			return nil, errors.New("store.elasticsearch.cloud_id: it is not one; copy it from the deployment's page")
		}
		addresses = []string{address}
	}
	var out []*url.URL
	for i, a := range addresses {
		u, problem := parseAddress(a)
		if problem != "" {
			return nil, fmt.Errorf("store.elasticsearch.addresses[%d]: %s", i, problem)
		}
		out = append(out, u)
	}
	return out, nil
}

// CheckAddress says how to write one of addresses, "" if it is right. It does not repeat the address: it may hold a
// password.
func CheckAddress(address string) (advice string) {
	_, advice = parseAddress(address)
	return advice
}

// CheckPrefix says how to write index_prefix, "" if it is right.
func CheckPrefix(p string) (advice string) {
	if prefix.MatchString(p) {
		return ""
	}
	return "use lower-case letters, digits, dots, hyphens and underscores, a letter or digit first, at most 100"
}

func parseAddress(address string) (*url.URL, string) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, "write it as https://host:9200"
	case u.User != nil:
		return nil, "write the user and password into username and password, where they are masked"
	case u.RawQuery != "" || u.Fragment != "":
		return nil, "write it as https://host:9200, without ? and #"
	case u.Port() == "" && u.Path == "":
		u.Host += ":9200"
	}
	return u, ""
}

// cloudAddress returns the address in a cloud id: NAME:BASE64, in which HOST[:PORT]$ELASTICSEARCH[:PORT]$KIBANA.
func cloudAddress(id string) (string, bool) {
	_, encoded, ok := strings.Cut(id, ":")
	text, err := base64.StdEncoding.DecodeString(encoded)
	parts := strings.Split(string(text), "$")
	if !ok || err != nil || len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", false
	}
	host, port, _ := strings.Cut(parts[0], ":")
	name, own, _ := strings.Cut(parts[1], ":")
	for _, p := range []string{own, port, "443"} {
		if p != "" {
			return "https://" + name + "." + host + ":" + p, true
		}
	}
	return "", false
}
