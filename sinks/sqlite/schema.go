package sqlite

import (
	"fmt"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// The schema
//
//	activities       one row an activity: seq (order of arrival), a column for each field of the table that has one, and
//	                 doc, the document as it was delivered
//	activities_text  full text (FTS5) without content of its own; its rowid is seq
//
// Columns are named like their fields, so people quote them: SELECT "@timestamp", "service.name" FROM activities. Dates are
// nanoseconds since 1970, bools 0 and 1, arrays JSON; absent is NULL.
//
// Only what arrives nearly in order has an index of its own (id, time, kind with time): inserting at random places of a
// large B-tree costs more than all the rest together. Those of time also hold what nearly every question asks of each row,
// whose it is, so that rows of others are passed over, and many are counted, without being read; files that an earlier agent
// made go without. The identifiers, which are random, are looked up in the full text,
// whose index is a log-structured merge tree: each field's words follow a marker word "|field", so that user_id = 'ann'
// is the phrase "|user_id ann", narrowed down by comparing the column.
const (
	// schemaVersion is SQLite's user_version. It changes when an older agent could not write the file rightly; a column
	// more is no such change.
	schemaVersion = 1
	// applicationID marks the file as ours (PRAGMA application_id): "acta".
	applicationID = 0x61637461

	table     = "activities"
	textTable = "activities_text"
)

// columnFields are the fields with a column, in table order.
func columnFields(m *activity.Model) []activity.FieldID {
	var out []activity.FieldID
	for f := activity.NoField + 1; f < m.FieldCount(); f++ {
		if m.Field(f).Column {
			out = append(out, f)
		}
	}
	return out
}

func quote(name string) string { return `"` + name + `"` }

// declared returns the declaration of a field's column.
func declared(f activity.Field) string {
	d := quote(f.Name)
	switch f.Type {
	case activity.Long, activity.Date, activity.Bool:
		d += " INTEGER"
	case activity.Double:
		d += " REAL"
	default:
		d += " TEXT"
	}
	switch f.Name {
	case activity.ID.Name(), activity.Timestamp.Name(), activity.KindField.Name():
		d += " NOT NULL"
	}
	return d
}

// createStatements makes the schema in an empty database.
func createStatements(m *activity.Model) []string {
	columns := []string{"seq INTEGER PRIMARY KEY"}
	for _, f := range columnFields(m) {
		columns = append(columns, declared(m.Field(f)))
	}
	columns = append(columns, "doc TEXT NOT NULL")
	return []string{
		fmt.Sprintf("CREATE TABLE %s (%s)", table, strings.Join(columns, ", ")),
		fmt.Sprintf("CREATE UNIQUE INDEX activities_id ON %s (id)", table),
		fmt.Sprintf(`CREATE INDEX activities_time ON %s ("@timestamp", kind, tenant_id, user_id)`, table),
		fmt.Sprintf(`CREATE INDEX activities_kind_time ON %s (kind, "@timestamp", tenant_id, user_id)`, table),
		// What a word is, AppendWords of package search has decided before the text gets here: it hands over lower-case
		// words and spaces. No content and no column sizes are kept, since nothing ranks by them.
		fmt.Sprintf(`CREATE VIRTUAL TABLE %s USING fts5(words, content='', columnsize=0,`+
			` tokenize="ascii tokenchars '|_.'")`, textTable),
		// A node of the index fills a page of the file, and segments are merged eight at a time: both make writing
		// cheaper, and a search has a few segments more to look into.
		fmt.Sprintf("INSERT INTO %s (%[1]s, rank) VALUES ('pgsz', 8100)", textTable),
		fmt.Sprintf("INSERT INTO %s (%[1]s, rank) VALUES ('automerge', 8)", textTable),
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion),
	}
}

// addColumn returns the statements that add the column of a field that the file was made without, and fill it.
func addColumn(f activity.Field) []string {
	d := strings.TrimSuffix(declared(f), " NOT NULL")
	return []string{
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", table, d),
		fmt.Sprintf("UPDATE %s SET %s = %s", table, quote(f.Name), fromDoc(f)),
	}
}

// fromDoc is the SQL expression for what the field's column holds, or would hold, computed from the document.
func fromDoc(f activity.Field) string {
	path := "'" + jsonPath(strings.Split(f.Name, ".")...) + "'"
	switch f.Type {
	case activity.Date:
		x := "(doc ->> " + path + ")"
		return "(unixepoch(substr(" + x + ",1,19)) * 1000000000 + CASE WHEN substr(" + x + ",20,1) = '.'" +
			" THEN CAST(substr(rtrim(substr(" + x + ",21),'Z') || '000000000',1,9) AS INTEGER) ELSE 0 END)"
	case activity.Keywords, activity.Free, activity.List:
		return "(doc -> " + path + ")"
	}
	return "(doc ->> " + path + ")"
}

// jsonPath makes SQLite's path of nested members.
func jsonPath(names ...string) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, n := range names {
		b.WriteString(`."`)
		b.Write(tape.AppendEscaped(nil, []byte(n)))
		b.WriteByte('"')
	}
	return b.String()
}
