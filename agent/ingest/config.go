package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Config is `ingest`.
type Config struct {
	// Listen is where activities are posted to: host:port on the loopback interface, unix:/path of a socket, or "" for
	// nowhere. Default 127.0.0.1:8480.
	Listen string `yaml:"listen"`
	// SocketMode is the mode of the socket's file, in octal digits. Default 0600.
	SocketMode string `yaml:"socket_mode"`
	// Token must be sent with each request, as "Authorization: Bearer TOKEN"; "" asks for none. Secret.
	Token string `yaml:"token" secret:"true"`
	// TokenFile is the file of the token, which is read again when it changes.
	TokenFile string `yaml:"token_file"`
	// MaxBody is how many bytes a request's body may have, after decompression. Default 1 MiB.
	MaxBody int `yaml:"max_body"`
	// MaxConnections is how many connections are served at once; others wait to be accepted. Default 256.
	MaxConnections int `yaml:"max_connections"`
	// DiskBudget bounds the bytes of the journal on the disk. Default 256 MiB.
	DiskBudget int `yaml:"disk_budget"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8480", SocketMode: "0600", MaxBody: 1 << 20, MaxConnections: 256, DiskBudget: 256 << 20,
	}
}

// unixPrefix begins the address of a socket.
const unixPrefix = "unix:"

// CheckListen says what is wrong with an address to listen on, and "" if nothing is.
func CheckListen(s string) string {
	if s == "" {
		return ""
	}
	if path, ok := strings.CutPrefix(s, unixPrefix); ok {
		switch {
		case path == "":
			return "name the socket's file, such as unix:/run/activity-agent/ingest.sock"
		case len(path) > 100:
			return "the system takes names of sockets up to 100 bytes; use a shorter directory"
		}
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return `write it as "127.0.0.1:8480", "[::1]:8480", "unix:/path" for a socket, or "" for off`
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "the port must be a number up to 65535"
	}
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return "only the loopback interface is listened on: write 127.0.0.1, [::1] or localhost; share a socket (unix:/path) with other containers"
	}
	return ""
}

var errMode = errors.New("not a file mode: write octal digits such as 0660")

// ParseMode reads the mode of a socket's file.
func ParseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 16)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is %w", s, errMode)
	}
	return fs.FileMode(n), nil
}
