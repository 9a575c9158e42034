package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/truledgr/activity-agent/sinks"
)

var _ sinks.Expirer = (*Store)(nil)

// How much one step does. Each is a transaction of some 10 to 50 ms, which is how long a batch waits for it at most.
const (
	rowsAStep  = 200
	pagesAStep = 64  // of the file that are given back
	workAStep  = 128 // pages of the full text that are merged
	// keptFree is how many free pages are left in the file, for what comes next.
	keptFree = 64
	// rowsAPart is how many rows are planned and told of at once, so that counting them takes no longer than a step.
	rowsAPart = 100_000
)

// expiredRows chooses the rows of a kind before a time, up to a number.
const expiredRows = " FROM " + table + ` WHERE kind = ?1 AND "@timestamp" < ?2 AND seq <= ?3`

// Expired returns the rows of a kind that are over its limit.
func (s *Store) Expired(ctx context.Context, limits []sinks.Limit) (sinks.Expired, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return sinks.Expired{}, false, err
	}
	// The newest row of the table stays until there is a newer one, so that no number is given twice.
	newest, err := s.conn.values("SELECT coalesce(max(seq), 0) FROM " + table)
	if err != nil {
		return sinks.Expired{}, false, failed("look for what has expired in", s.path, err)
	}
	last := newest[0].(int64) - 1
	for _, l := range limits {
		if err := ctx.Err(); err != nil {
			return sinks.Expired{}, false, err
		}
		x, err := s.part(s.model.KindName(l.Kind), l.Before.UnixNano(), last)
		if err != nil {
			return sinks.Expired{}, false, failed("look for what has expired in", s.path, err)
		}
		if x.Records > 0 {
			return x, true, nil
		}
	}
	return sinks.Expired{}, false, nil
}

// part returns the oldest rows of a kind before a time, about as many as a part has.
func (s *Store) part(kind string, before, last int64) (sinks.Expired, error) {
	next, err := s.conn.values(fmt.Sprintf(`SELECT "@timestamp"%s ORDER BY "@timestamp" LIMIT 1 OFFSET %d`, expiredRows, s.partRows), kind, before, last)
	if err != nil {
		return sinks.Expired{}, err
	}
	oldest, err := s.conn.values(`SELECT "@timestamp"`+expiredRows+` ORDER BY "@timestamp" LIMIT 1`, kind, before, last)
	if err != nil || len(oldest) == 0 {
		return sinks.Expired{}, err
	}
	if len(next) > 0 && next[0].(int64) > oldest[0].(int64) {
		before = next[0].(int64)
	}
	n, err := s.conn.values("SELECT count(*)"+expiredRows, kind, before, last)
	if err != nil {
		return sinks.Expired{}, err
	}
	return sinks.Expired{
		Kind: kind, Since: time.Unix(0, oldest[0].(int64)).UTC(), Before: time.Unix(0, before).UTC(), Last: last, Records: n[0].(int64),
	}, nil
}

// Delete deletes some rows, with their words in the full text; when there are none left, it merges the full text if a
// large part of it has gone, and gives pages of the file back.
func (s *Store) Delete(ctx context.Context, x sinks.Expired) (sinks.Progress, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return sinks.More, err
	}
	if err := s.ready(); err != nil {
		return sinks.More, err
	}
	busy, err := s.deleteSome(x)
	if err != nil {
		s.conn.rollback()
		s.drop()
		return sinks.More, failed("delete what has expired from", s.path, err)
	}
	if busy {
		return sinks.More, nil
	}
	return sinks.Deleted, nil
}

// deleteSome does the next thing that there is to do about x, and reports whether there was any.
func (s *Store) deleteSome(x sinks.Expired) (busy bool, err error) {
	if n, err := s.deleteRows(x); n > 0 || err != nil {
		return true, err
	}
	if busy, err := s.mergeText(); busy || err != nil {
		return true, err
	}
	return s.shrink()
}

func (s *Store) deleteRows(x sinks.Expired) (int, error) {
	if err := s.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	rows, err := s.conn.values(fmt.Sprintf(`SELECT seq, doc%s ORDER BY "@timestamp" LIMIT %d`, expiredRows, rowsAStep), x.Kind, x.Before.UnixNano(), x.Last)
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(rows); i += 2 {
		if err := s.deleteRow(rows[i].(int64), rows[i+1].(string)); err != nil {
			return 0, err
		}
	}
	if err := s.conn.exec("COMMIT"); err != nil {
		return 0, err
	}
	s.gone += int64(len(rows) / 2)
	return len(rows) / 2, nil
}

// deleteRow deletes a row, and its words.
func (s *Store) deleteRow(seq int64, doc string) error {
	if err := s.forgetWords(seq, doc); err != nil {
		return err
	}
	return s.conn.exec("DELETE FROM "+table+" WHERE seq = ?", seq)
}

// mergeText merges the segments of the full text, step by step, where more than a quarter of the rows has gone since it was
// done last: only a merge frees the space of words that were deleted. Less than that goes with the merges that inserting
// makes.
func (s *Store) mergeText() (busy bool, err error) {
	if !s.merging {
		left, err := s.conn.values("SELECT coalesce(max(seq) - min(seq), 0) FROM " + table)
		if err != nil || s.gone == 0 || 4*s.gone < left[0].(int64) {
			return false, err
		}
		s.merging, s.gone = true, 0
		return true, s.merge(-workAStep) // begins a merge of everything
	}
	before, err := s.conn.values("SELECT total_changes()")
	if err != nil {
		return false, err
	}
	if err := s.merge(workAStep); err != nil {
		return false, err
	}
	after, err := s.conn.values("SELECT total_changes()")
	if err != nil {
		return false, err
	}
	s.merging = after[0].(int64)-before[0].(int64) >= 2 // SQLite's sign that there was something to merge
	return s.merging, nil
}

func (s *Store) merge(pages int) error {
	return s.conn.exec(fmt.Sprintf("INSERT INTO %s (%[1]s, rank) VALUES ('merge', %d)", textTable, pages))
}

// shrink gives free pages at the end of the file back. A file that an agent before made does not allow it: its free pages
// are used for what comes next.
func (s *Store) shrink() (busy bool, err error) {
	v, err := s.conn.values("SELECT auto_vacuum, freelist_count FROM pragma_auto_vacuum, pragma_freelist_count")
	if err != nil || v[0].(int64) == 0 {
		return false, err
	}
	free := v[1].(int64)
	if free <= keptFree {
		return false, s.conn.exec("PRAGMA wal_checkpoint(PASSIVE)") // only now does the file get smaller
	}
	_, err = s.conn.values(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(pagesAStep, free-keptFree)))
	return true, err
}
