package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// A Reader answers questions from the database while another connection, or another process, writes it. Each question
// sees the database as of one moment.
type Reader struct {
	model   *activity.Model
	path    string
	db      *sql.DB
	columns map[string]bool // that the file has; what it lacks is read from the documents
	// narrow is up to how many rows the full text is asked for the rows to look at. Beyond, the rows are walked in the
	// order of the answer, of which a page needs the first: by users, whom that index knows, from a third of it on.
	narrow   int64
	maxTotal int64 // search.MaxTotal
	looks    int64 // how many rows are looked at for a total
}

var _ search.Store = (*Reader)(nil)

// OpenReader opens the database for reading only, for questions about the kinds of m, nil for the built-in ones. It makes nothing: a missing file is an error.
func OpenReader(c Config, m *activity.Model) (*Reader, error) {
	if _, err := os.Stat(c.Path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no store at %s yet: start `activity-agent run` with this configuration first", c.Path)
	} else if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	name, err := address(c.Path)
	if err != nil {
		return nil, err
	}
	connector, err := newConnector(name + "?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(2000)" +
		"&_pragma=cache_size(-1024)&_pragma=temp_store(1)")
	if err != nil {
		return nil, failed("open", c.Path, err)
	}
	db := sql.OpenDB(connector)
	// Every connection has a cache of its own, so they are few, and go when nobody asks.
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(time.Minute)
	r := &Reader{model: m, path: c.Path, db: db, columns: map[string]bool{}, narrow: 3000, maxTotal: search.MaxTotal, looks: 5000}
	if err := r.check(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) check() error {
	var version, app, objects int64
	err := r.db.QueryRow("SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)"+
		" FROM pragma_user_version, pragma_application_id").Scan(&version, &app, &objects)
	if err != nil {
		return failed("open", r.path, err)
	}
	if err := acceptable(r.path, version, app, objects); err != nil {
		return err
	}
	if app != applicationID {
		return fmt.Errorf("open %s: nothing has been stored yet: start `activity-agent run` with this configuration first", r.path)
	}
	rows, err := r.db.Query("SELECT name FROM pragma_table_info('" + table + "')")
	if err != nil {
		return failed("open", r.path, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return failed("open", r.path, err)
		}
		r.columns[name] = true
	}
	return failed("open", r.path, rows.Err())
}

// Close releases the database.
func (r *Reader) Close() error { return r.db.Close() }

// Get returns a document.
func (r *Reader) Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error) {
	var doc string
	err := r.db.QueryRowContext(ctx, "SELECT doc FROM "+table+" WHERE id = ?", id.String()).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, search.ErrNotFound
	}
	return json.RawMessage(doc), failed("read", r.path, err)
}

// Count counts what matches.
func (r *Reader) Count(ctx context.Context, q search.Query) (int64, error) {
	p, err := r.plan(ctx, &q)
	if err != nil {
		return 0, err
	}
	return r.count(ctx, p, 0)
}

// count counts to atMost, or all for 0.
func (r *Reader) count(ctx context.Context, p *plan, atMost int64) (n int64, err error) {
	query := "SELECT count(*) " + p.from("")
	if atMost > 0 {
		query = fmt.Sprintf("SELECT count(*) FROM (SELECT 1 %s LIMIT %d)", p.from(""), atMost)
	}
	err = r.db.QueryRowContext(ctx, query, p.args...).Scan(&n)
	return n, failed("search", r.path, err)
}

// total sets the total of a page: exactly, where counting does not take looking at too many rows.
func (r *Reader) total(ctx context.Context, p *plan, q *search.Query, page *search.Page) (err error) {
	var n, looked int64
	if p.few || byID(q) {
		n, err = r.count(ctx, p, r.maxTotal+1)
	} else {
		query, args := p.total(q)
		err = failed("search", r.path, r.db.QueryRowContext(ctx, query, args...).Scan(&n, &looked))
	}
	page.Total, page.TotalAtLeast = min(n, r.maxTotal), n > r.maxTotal || looked > r.looks
	return err
}

// Search returns one page.
func (r *Reader) Search(ctx context.Context, q search.Query) (search.Page, error) {
	var page search.Page
	p, err := r.plan(ctx, &q)
	if err != nil {
		return page, err
	}
	if !q.SkipTotal {
		if err := r.total(ctx, p, &q, &page); err != nil {
			return page, err
		}
	}
	query, args, err := p.page(&q)
	if err != nil {
		return page, err
	}
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return page, failed("search", r.path, err)
	}
	defer func() { _ = rows.Close() }()
	order, selector := q.Order(), search.NewSelector(q.Fields)
	var doc sql.RawBytes
	keys := make([]any, len(order))
	dest := []any{&doc}
	for i := range keys {
		dest = append(dest, &keys[i])
	}
	for rows.Next() {
		if len(page.Items) == q.PageSize() { // one more than the page: there is a next one, after the last of this
			page.Next = search.EncodeCursor(r.model, order, keys)
			break
		}
		if err := rows.Scan(dest...); err != nil {
			return page, failed("search", r.path, err)
		}
		item, err := selector.Select(doc)
		if err != nil {
			return page, fmt.Errorf("search %s: a stored document: %w", r.path, err)
		}
		page.Items = append(page.Items, item)
	}
	if page.TotalAtLeast { // what is on the page may be beyond the rows that were looked at
		page.Total = max(page.Total, min(r.maxTotal, int64(q.Offset+len(page.Items))))
	}
	return page, failed("search", r.path, rows.Err())
}
