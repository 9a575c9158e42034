package sqlite

import (
	"context"
	"encoding/json"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity/search"
)

// What arrives has the numbers of its rows. One process writes, in transactions, so a number is visible only with all
// below it.

var _ search.Follower = (*Reader)(nil)

// Parts returns the one part there is.
func (r *Reader) Parts(ctx context.Context) (map[string]search.Part, error) {
	high, err := r.last(ctx)
	return map[string]search.Part{"": {High: high}}, err
}

func (r *Reader) last(ctx context.Context) (n int64, err error) {
	err = r.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM "+table).Scan(&n)
	return n, failed("follow", r.path, err)
}

// Arrivals returns the rows after the mark.
func (r *Reader) Arrivals(ctx context.Context, m *search.Mark, n int) ([]search.Arrival, bool, error) {
	if m.Parts[""] == nil {
		m.Parts[""] = &search.Part{}
	}
	rows, err := r.db.QueryContext(ctx, "SELECT seq, id, doc FROM "+table+" WHERE seq > ? ORDER BY seq LIMIT ?", m.Parts[""].High, n)
	if err != nil {
		return nil, false, failed("follow", r.path, err)
	}
	defer func() { _ = rows.Close() }()
	var out []search.Arrival
	for rows.Next() {
		var a search.Arrival
		var id, doc string
		if err := rows.Scan(&a.Seq, &id, &doc); err != nil {
			return nil, false, failed("follow", r.path, err)
		}
		a.Doc = json.RawMessage(doc)
		if a.ID, err = ulid.ParseStrict(id); err == nil {
			out = append(out, a)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, failed("follow", r.path, err)
	}
	if len(out) == 0 {
		return nil, false, r.stepBack(ctx, m.Parts[""])
	}
	return out, len(out) == n, nil
}

// stepBack follows the end of the table where rows were deleted there: the next ones get their numbers.
func (r *Reader) stepBack(ctx context.Context, p *search.Part) error {
	last, err := r.last(ctx)
	if err == nil {
		p.High = min(p.High, last)
	}
	return err
}
