package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"modernc.org/sqlite"

	"github.com/truledgr/activity-agent/activity"
)

// A conn is the writing connection, straight on the driver: database/sql would add a lock, a copy of the arguments and a
// goroutine for the context to every row.
type conn struct {
	model  *activity.Model
	path   string
	file   os.FileInfo // of the database when it was opened
	raw    driver.Conn
	insert [256]driver.StmtExecContext // by kind
	text   driver.StmtExecContext
	begin  driver.StmtExecContext
	commit driver.StmtExecContext
	last   driver.StmtQueryContext // the highest seq
	stmts  []driver.Stmt
}

// made are the settings of a file without tables, which it keeps. The page of 8 KiB holds several documents, which makes
// inserting twice as fast as with 4 KiB; with auto_vacuum the file can shrink. Setting that takes the lock of writers.
var made = []string{
	"PRAGMA page_size = 8192",
	"PRAGMA auto_vacuum = INCREMENTAL",
}

// settings of the writing connection. The cache is what SQLite may keep in memory; the index pages in use are the newest
// ones and few. The journal is brought back to its limit after a checkpoint that a reader delayed.
var settings = []string{
	"PRAGMA busy_timeout = 2000",
	"PRAGMA journal_mode = WAL",
	"PRAGMA synchronous = FULL",
	"PRAGMA fullfsync = 1", // macOS: a real flush
	"PRAGMA checkpoint_fullfsync = 1",
	"PRAGMA cache_size = -2048",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA wal_autocheckpoint = 1000",
	"PRAGMA journal_size_limit = 16777216",
}

// address makes the driver's name of a file.
func address(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String(), nil
}

// create makes the file and its directory when missing, for the owner's eyes only. It must not open a file that is there:
// closing it again would take away the locks that other connections of this process have on it.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
			return fmt.Errorf("open the store: %s is not a regular file: set store.sqlite.path to another", path)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the store: %w: give the agent's user the right to write there, or set store.sqlite.path to another", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make the store durable: %w", err)
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// open opens the database, making or completing it.
func open(path string, m *activity.Model) (*conn, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	name, err := address(path)
	if err != nil {
		return nil, err
	}
	c := &conn{path: path, model: m}
	if c.raw, err = (&sqlite.Driver{}).Open(name); err != nil {
		return nil, failed("open", path, err)
	}
	if err := c.setUp(); err != nil {
		_ = c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) setUp() (err error) {
	if c.file, err = os.Stat(c.path); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	empty, err := c.check()
	if err != nil {
		return err
	}
	all := settings
	if empty {
		all = slices.Concat(made, settings)
	}
	for _, s := range all {
		if err := c.exec(s); err != nil {
			return failed("open", c.path, err)
		}
	}
	if mode, err := c.values("PRAGMA journal_mode"); err != nil || len(mode) != 1 || mode[0] != "wal" {
		return fmt.Errorf("open %s: the file system does not allow SQLite's write-ahead log: put store.sqlite.path on a local disk", c.path)
	}
	if err := c.migrate(); err != nil {
		return failed("complete the schema of", c.path, err)
	}
	return c.prepare()
}

// check refuses a database that is not ours, or from a newer agent, before anything is written to it. It reports whether
// there is nothing in it.
func (c *conn) check() (empty bool, err error) {
	v, err := c.values("SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)" +
		" FROM pragma_user_version, pragma_application_id")
	if err != nil {
		return false, failed("open", c.path, err)
	}
	version, app, objects := v[0].(int64), v[1].(int64), v[2].(int64)
	return objects == 0, acceptable(c.path, version, app, objects)
}

func acceptable(path string, version, app, objects int64) error {
	switch {
	case objects > 0 && app != applicationID:
		return fmt.Errorf("open %s: the file is the database of another program: set store.sqlite.path to another", path)
	case app == applicationID && version > schemaVersion:
		return fmt.Errorf("open %s: a newer activity-agent made the database (schema %d, this one knows %d): "+
			"run that version, or set store.sqlite.path to another", path, version, schemaVersion)
	}
	return nil
}

// migrate makes what is missing of the schema, in one transaction; nothing missing, nothing is written.
func (c *conn) migrate() error {
	if todo, err := c.missing(); err != nil || len(todo) == 0 {
		return err
	}
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	todo, err := c.missing() // again: another process may have been faster
	for i := 0; i < len(todo) && err == nil; i++ {
		err = c.exec(todo[i])
	}
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil {
		c.rollback()
	}
	return err
}

// missing returns the statements that complete the schema.
func (c *conn) missing() ([]string, error) {
	have, err := c.values("SELECT name FROM pragma_table_info('" + table + "')")
	if err != nil {
		return nil, err
	}
	if len(have) == 0 {
		return createStatements(c.model), nil
	}
	var todo []string
	for _, f := range columnFields(c.model) {
		if !slices.Contains(have, any(c.model.FieldName(f))) {
			todo = append(todo, addColumn(c.model.Field(f))...)
		}
	}
	return todo, nil
}

// prepare compiles the statements of Write: an insert for each kind, which names only the columns the kind has.
func (c *conn) prepare() (err error) {
	for query, to := range map[string]*driver.StmtExecContext{
		"BEGIN IMMEDIATE": &c.begin,
		"COMMIT":          &c.commit,
		"INSERT INTO " + textTable + " (rowid, words) VALUES (?, ?)": &c.text,
	} {
		if *to, err = c.statement(query); err != nil {
			return err
		}
	}
	for _, k := range c.model.Kinds() {
		names := []string{"seq"}
		for _, f := range kindColumns(c.model, k) {
			names = append(names, quote(c.model.FieldName(f)))
		}
		names = append(names, "doc")
		c.insert[k], err = c.statement(fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s) ON CONFLICT (id) DO NOTHING",
			table, strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1)))
		if err != nil {
			return err
		}
	}
	last, err := c.statement("SELECT coalesce(max(seq), 0) FROM " + table)
	if err != nil {
		return err
	}
	c.last = last.(driver.StmtQueryContext)
	return nil
}

// execute runs a statement that takes no values.
func execute(st driver.StmtExecContext) error {
	_, err := st.ExecContext(context.Background(), nil)
	return err
}

// lastSeq returns the highest seq there is; 0 without a row.
func (c *conn) lastSeq() (int64, error) {
	rows, err := c.last.QueryContext(context.Background(), nil)
	if err != nil {
		return 0, err
	}
	last, err := valuesOf(rows)
	if err != nil {
		return 0, err
	}
	return last[0].(int64), nil
}

func (c *conn) statement(query string) (driver.StmtExecContext, error) {
	s, err := c.raw.Prepare(query)
	if err != nil {
		return nil, failed("prepare for", c.path, err)
	}
	c.stmts = append(c.stmts, s)
	return s.(driver.StmtExecContext), nil
}

func (c *conn) exec(query string, args ...any) error {
	_, err := c.raw.(driver.ExecerContext).ExecContext(context.Background(), query, named(nil, args))
	return err
}

// values returns all values of all rows of a query.
func (c *conn) values(query string, args ...any) ([]any, error) {
	rows, err := c.raw.(driver.QueryerContext).QueryContext(context.Background(), query, named(nil, args))
	if err != nil {
		return nil, err
	}
	return valuesOf(rows)
}

func valuesOf(rows driver.Rows) ([]any, error) {
	defer func() { _ = rows.Close() }()
	var out []any
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		for _, v := range row {
			out = append(out, v)
		}
	}
}

// named numbers arguments as the driver wants them.
func named(dst []driver.NamedValue, args []any) []driver.NamedValue {
	for i, a := range args {
		dst = append(dst, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return dst
}

// rollback ends a transaction that failed. SQLite may have ended it itself, so an error says nothing.
func (c *conn) rollback() { _ = c.exec("ROLLBACK") }

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	errs = append(errs, c.raw.Close())
	return errors.Join(errs...)
}
