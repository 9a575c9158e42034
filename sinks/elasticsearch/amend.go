package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity/search"
)

var _ search.Amender = (*Reader)(nil)

// Versioned returns a document, with its index and the number of its last write as the version.
func (r *Reader) Versioned(ctx context.Context, id ulid.ULID) (search.Versioned, error) {
	found, err := r.find(ctx, id)
	if err != nil {
		return search.Versioned{}, err
	}
	return search.Versioned{Doc: found.Source, Version: fmt.Sprintf("%s %d %d", found.Index, found.SeqNo, found.PrimaryTerm)}, nil
}

// Replace writes the document where it was, if that was not written since. It is the one thing that a Reader writes, and
// takes the right to index, not only to create.
func (r *Reader) Replace(ctx context.Context, id ulid.ULID, old search.Versioned, doc json.RawMessage) error {
	var at located
	if _, err := fmt.Sscanf(old.Version, "%s %d %d", &at.Index, &at.SeqNo, &at.PrimaryTerm); err != nil {
		return errors.New("replace a document: the version is none of ours")
	}
	_, err := r.client.call(ctx, "replace a document", esapi.IndexRequest{
		Index: at.Index, DocumentID: id.String(), Body: bytes.NewReader(doc),
		IfSeqNo: &at.SeqNo, IfPrimaryTerm: &at.PrimaryTerm,
	})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		return search.ErrChanged
	}
	return err
}
