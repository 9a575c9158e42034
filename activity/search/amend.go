package search

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/oklog/ulid/v2"
)

// ErrChanged says that a document is not what it was when it was read.
var ErrChanged = errors.New("the activity was changed meanwhile")

// A Versioned is a document, and what the store tells its versions apart by.
type Versioned struct {
	Doc     json.RawMessage
	Version string // the store's own
}

// An Amender is a store whose documents can be exchanged. Its methods may be called by many goroutines at once.
type Amender interface {
	// Versioned returns a document with its version, or ErrNotFound.
	Versioned(ctx context.Context, id ulid.ULID) (Versioned, error)
	// Replace exchanges the document of an id, of the same kind and time, and returns when that is durable; ErrChanged where it
	// is not old any more, and ErrNotFound where it is gone. Searches may find the old one for a second or so.
	Replace(ctx context.Context, id ulid.ULID, old Versioned, doc json.RawMessage) error
}
