// Package sqlite stores activities in an SQLite file: one process writes, and others read at the same time.
//
// A batch is a transaction with synchronous=FULL, so "stored" is durable. An id that is there already is a duplicate; for
// ids that senders gave, see Write. Reading is OpenReader, in this process or another.
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Options are what the store takes from its surroundings.
type Options struct {
	Model  *activity.Model // the kinds and fields there are; nil for the built-in ones
	Logger *zap.Logger     // nil for none
}

// A Store writes activities, and deletes what has expired. Its methods may be called from any goroutine.
type Store struct {
	model *activity.Model
	path  string
	log   *zap.Logger

	mu   sync.Mutex
	conn *conn // nil when it must be opened again
	x    *extractor
	args []any
	bind []driver.NamedValue
	next []sinks.Result // verdicts that hold once the transaction is committed

	partRows int   // of expired rows that are deleted and told of at once
	gone     int64 // rows deleted since the full text was merged, by this process
	merging  bool  // it is being merged
}

var _ sinks.Sink = (*Store)(nil)

// Open opens the database, and makes it (mode 0600), its directory (0700) and its schema when missing. Columns that the
// field table has gained since are added and filled. One that another process keeps locked is opened by the first Write
// that can. Its errors say what is wrong with the file and what to do.
func Open(c Config, o Options) (*Store, error) {
	if c.Path == "" {
		return nil, errors.New("store.sqlite.path is empty: name a file")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Store{model: o.Model, path: c.Path, log: o.Logger, x: newExtractor(o.Model), partRows: rowsAPart}
	var err error
	if s.conn, err = open(c.Path, o.Model); locked(err) {
		s.log.Warn("the store is opened later; records wait, nothing is lost", zap.Error(err))
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

// InFlight returns 1: SQLite has one writer.
func (s *Store) InFlight() int { return 1 }

// Write stores the batch in one transaction. Results are set after it is committed; on an error they all stay Retry, and
// the database is opened again the next time, so that neither a file that was moved away nor a failed disk leaves a
// connection that cannot be trusted.
func (s *Store) Write(ctx context.Context, b *pipeline.Batch, results []sinks.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		return err
	}
	s.next = append(s.next[:0], results...)
	err := s.transact(ctx, b)
	if err != nil {
		s.conn.rollback()
		s.drop()
		return failed("write to", s.path, err)
	}
	copy(results, s.next)
	return nil
}

// ready opens the database when it is not open, or not the one at the path any more: SQLite would go on writing into a
// file that nobody finds.
func (s *Store) ready() (err error) {
	if s.conn != nil {
		at, err := os.Stat(s.path)
		if err == nil && os.SameFile(at, s.conn.file) {
			return nil
		}
		s.log.Warn("the database was moved or deleted: it is made anew", zap.String("path", s.path))
		s.drop()
	}
	s.conn, err = open(s.path, s.model)
	return err
}

func (s *Store) drop() {
	if err := s.conn.close(); err != nil {
		s.log.Debug("closing the database after a failure", zap.Error(failed("close", s.path, err)))
	}
	s.conn = nil
}

func (s *Store) transact(ctx context.Context, b *pipeline.Batch) error {
	if err := execute(s.conn.begin); err != nil {
		return err
	}
	seq, err := s.conn.lastSeq()
	if err != nil {
		return err
	}
	for i := range b.Records {
		if b.Records[i].Fate != pipeline.Deliver || s.next[i].Verdict != sinks.Retry {
			continue
		}
		if i%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if s.next[i], err = s.store(b, i, seq+1); err != nil {
			return err
		}
		if v := s.next[i].Verdict; v == sinks.Stored || v == sinks.Conflict {
			seq++
		}
	}
	return execute(s.conn.commit)
}

// store inserts record i, within the transaction. An error is one of the database; what is wrong with the document is in
// the result.
func (s *Store) store(b *pipeline.Batch, i int, seq int64) (sinks.Result, error) {
	r := &b.Records[i]
	res, err := s.insert(b, i, seq)
	if err != nil || res.Verdict != sinks.Duplicate || !r.Trusted {
		return res, err
	}
	// The sender gave the id. The same document again is a duplicate, any other is an activity of its own.
	stored, err := s.conn.values("SELECT doc FROM "+table+" WHERE id = ?", r.ID.String())
	if err != nil {
		return res, err
	}
	if same, err := pipeline.SameActivity(b.Doc(i), []byte(stored[0].(string))); err == nil && same {
		return res, nil
	}
	if !b.Rekey(i) {
		return sinks.Result{Verdict: sinks.Rejected, Reason: "id_conflict"}, nil
	}
	if res, err = s.insert(b, i, seq); res.Verdict == sinks.Stored {
		res.Verdict = sinks.Conflict
	}
	return res, err
}

func (s *Store) insert(b *pipeline.Batch, i int, seq int64) (sinks.Result, error) {
	doc, kind := b.Doc(i), s.kindOf(b, b.Records[i].Kind)
	if err := s.x.load(doc); err != nil {
		return sinks.Result{Verdict: sinks.Rejected, Reason: fmt.Sprintf("document: %v", err)}, nil
	}
	s.args = append(s.args[:0], seq)
	s.args = s.x.columns(kind, s.args)
	s.args = append(s.args, view(doc))
	n, err := s.run(s.conn.insert[kind])
	if reason, ok := refused(err); ok {
		return sinks.Result{Verdict: sinks.Rejected, Reason: reason}, nil
	} else if err != nil {
		return sinks.Result{}, err
	}
	if n == 0 {
		return sinks.Result{Verdict: sinks.Duplicate}, nil
	}
	if text := s.x.fullText(); text != "" {
		s.args = append(s.args[:0], seq, text)
		if _, err := s.run(s.conn.text); err != nil {
			return sinks.Result{}, err
		}
	}
	return sinks.Result{Verdict: sinks.Stored}, nil
}

// kindOf returns the store's number of a kind of the batch. A replay may have kinds that the configuration declares no more:
// they have the columns that all have.
func (s *Store) kindOf(b *pipeline.Batch, k activity.Kind) activity.Kind {
	if k < activity.FirstCustom || b.Model == s.model {
		return k
	}
	if own, ok := s.model.ParseKind([]byte(b.Model.KindName(k))); ok {
		return own
	}
	return activity.Plain
}

// run executes a statement with s.args and returns how many rows it changed. It takes no context: the driver would start
// a goroutine for it.
func (s *Store) run(st driver.StmtExecContext) (int64, error) {
	s.bind = named(s.bind[:0], s.args)
	res, err := st.ExecContext(context.Background(), s.bind)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Close brings the write-ahead log into the database and releases it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	err := errors.Join(
		s.conn.exec("PRAGMA wal_checkpoint(TRUNCATE)"),
		s.conn.close())
	s.conn = nil
	return failed("close", s.path, err)
}
