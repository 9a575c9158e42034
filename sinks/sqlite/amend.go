package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

var _ search.Amender = (*Reader)(nil)

// Versioned returns a document, which is its own version.
func (r *Reader) Versioned(ctx context.Context, id ulid.ULID) (search.Versioned, error) {
	doc, err := r.Get(ctx, id)
	return search.Versioned{Doc: doc, Version: string(doc)}, err
}

// Replace is the one thing that a Reader writes: by a connection of its own, beside that of the agent.
func (r *Reader) Replace(_ context.Context, id ulid.ULID, old search.Versioned, doc json.RawMessage) (err error) {
	s, err := Open(Config{Path: r.path}, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.conn.close()) }()
	if err := s.replace(id, old.Version, doc); err != nil {
		s.conn.rollback()
		if errors.Is(err, search.ErrChanged) || errors.Is(err, search.ErrNotFound) {
			return err
		}
		return failed("write to", s.path, err)
	}
	return nil
}

// replace exchanges a row's document, its columns and its words in one transaction.
func (s *Store) replace(id ulid.ULID, old string, doc []byte) error {
	if err := s.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	row, err := s.conn.values("SELECT seq, doc, kind FROM "+table+" WHERE id = ?", id.String())
	switch {
	case err != nil:
		return err
	case len(row) == 0:
		return search.ErrNotFound
	case row[1] != old:
		return search.ErrChanged
	}
	seq := row[0].(int64)
	kind, ok := s.model.ParseKind([]byte(row[2].(string)))
	if !ok { // that the configuration declares no more
		kind = activity.Plain
	}
	if err := s.forgetWords(seq, old); err != nil {
		return err
	}
	if err := s.x.load(doc); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	var sets []string
	for _, f := range kindColumns(s.model, kind) {
		sets = append(sets, quote(s.model.FieldName(f))+" = ?")
	}
	args := append(s.x.columns(kind, nil), string(doc), seq)
	if err := s.conn.exec("UPDATE "+table+" SET "+strings.Join(append(sets, "doc = ?"), ", ")+" WHERE seq = ?", args...); err != nil {
		return err
	}
	if text := s.x.fullText(); text != "" {
		if err := s.conn.exec("INSERT INTO "+textTable+" (rowid, words) VALUES (?, ?)", seq, text); err != nil {
			return err
		}
	}
	return s.conn.exec("COMMIT")
}

// forgetWords deletes the words of a row: the full text has no content of its own, and must be told what to forget.
func (s *Store) forgetWords(seq int64, doc string) error {
	if s.x.load([]byte(doc)) != nil {
		return nil // what cannot be read has no words
	}
	text := s.x.fullText()
	if text == "" {
		return nil
	}
	return s.conn.exec("INSERT INTO "+textTable+" ("+textTable+", rowid, words) VALUES ('delete', ?, ?)", seq, text)
}
