package search

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A cursor is where a page ended: the values of the sort keys of its last document, the id among them. What is new since
// sorts before or after it and moves nothing.
type cursor struct {
	Sort   string `json:"s"` // the order it belongs to
	Values []any  `json:"v"`
}

var errNotCursor = errors.New("not a cursor")

// EncodeCursor makes the cursor after a document. values belong to the keys of order, one each: string, int64, float64, or
// nil for a field that the document does not have; dates as int64 nanoseconds since 1970, bools as 0 or 1.
func EncodeCursor(m *activity.Model, order []SortKey, values []any) string {
	b, err := json.Marshal(cursor{FormatSort(m, order), values})
	if err != nil {
		return "" // NaN and infinities, which no JSON document holds
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodeCursor returns the values that EncodeCursor was given, or a *ParamError when the text is no cursor or belongs to
// another order.
func DecodeCursor(m *activity.Model, order []SortKey, text string) ([]any, error) {
	bad := &ParamError{Param: "cursor", Problem: `is not one: pass the "next" of the page before unchanged`}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, bad
	}
	var c cursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&c) != nil || len(c.Values) == 0 {
		return nil, bad
	}
	if c.Sort != FormatSort(m, order) {
		return nil, &ParamError{Param: "cursor", Problem: "belongs to another sort order: keep sort= as it was on the first page"}
	}
	if len(c.Values) != len(order) {
		return nil, bad
	}
	for i := range order {
		if c.Values[i], err = cursorValue(m, order[i].Field, c.Values[i]); err != nil {
			return nil, bad
		}
	}
	return c.Values, nil
}

func cursorValue(m *activity.Model, f activity.FieldID, v any) (any, error) {
	if f == activity.ID {
		s, _ := v.(string)
		_, err := ulid.ParseStrict(s)
		return s, err
	}
	if v == nil && f != activity.Timestamp {
		return nil, nil
	}
	switch m.FieldType(f) {
	case activity.Double:
		n, _ := v.(json.Number)
		return n.Float64()
	case activity.Long, activity.Date, activity.Bool:
		n, _ := v.(json.Number)
		return n.Int64()
	}
	s, ok := v.(string)
	if !ok {
		return nil, errNotCursor
	}
	return s, nil
}

// CursorAfter makes the cursor after a document, which has all that order sorts by.
func CursorAfter(m *activity.Model, order []SortKey, doc []byte) (string, error) {
	var t tape.Tape
	if err := t.Parse(doc); err != nil {
		return "", err
	}
	values := make([]any, len(order))
	for i, k := range order {
		if j := t.At(0, m.FieldName(k.Field)); j != 0 {
			values[i] = cursorText(m.FieldType(k.Field), &t, &t.Nodes[j])
		}
	}
	c := EncodeCursor(m, order, values)
	_, err := DecodeCursor(m, order, c)
	return c, err
}

// cursorText is the value of a field as EncodeCursor takes it; nil for what the field's type cannot hold.
func cursorText(typ activity.Type, t *tape.Tape, n *tape.Node) any {
	text, _ := t.Text(n, nil)
	switch typ {
	case activity.Bool:
		return map[tape.Type]any{tape.True: int64(1), tape.False: int64(0)}[n.Type]
	case activity.Long:
		if v, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return v
		}
	case activity.Double:
		if v, err := strconv.ParseFloat(string(text), 64); err == nil {
			return v
		}
	case activity.Date:
		if v, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
			return v.UnixNano()
		}
	default:
		if n.Type == tape.String {
			return string(text)
		}
	}
	return nil
}

// Resume sets q to go on after the activity that text names: a cursor, or the id of the last activity that is there
// already, as the store has it now. ErrNotFound says that it is there no more.
func (q *Query) Resume(ctx context.Context, get func(context.Context, ulid.ULID) (json.RawMessage, error), text string) error {
	id, err := ulid.ParseStrict(text)
	if err != nil {
		q.Cursor = text
		return nil
	}
	doc, err := get(ctx, id)
	if err != nil {
		return err
	}
	q.Cursor, err = CursorAfter(q.Model, q.Order(), doc)
	return err
}

// FormatSort writes an order as the parameter sort= takes it: "-@timestamp,id".
func FormatSort(m *activity.Model, order []SortKey) string {
	var b strings.Builder
	for i, k := range order {
		if i > 0 {
			b.WriteByte(',')
		}
		if k.Descending {
			b.WriteByte('-')
		}
		b.WriteString(m.FieldName(k.Field))
	}
	return b.String()
}
