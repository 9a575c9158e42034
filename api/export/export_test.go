package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
)

func write(t *testing.T, f Format, columns []string, appending bool, docs ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, f, columns, appending)
	for _, d := range docs {
		if err := w.Write(json.RawMessage(d)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	columns := []string{"id", "service.name", "n"}
	docs := []string{`{"id":"1","service":{"name":"a, b"},"n":-5}`, `{"id":"2"}`}
	for _, tc := range []struct {
		f         Format
		appending bool
		docs      []string
		want      string
	}{
		{NDJSON, false, docs, docs[0] + "\n" + docs[1] + "\n"},
		{NDJSON, false, nil, ""},
		{JSON, false, docs, "[\n" + docs[0] + ",\n" + docs[1] + "\n]\n"},
		{JSON, false, nil, "[\n]\n"},
		{CSV, false, docs, "id,service.name,n\r\n1,\"a, b\",-5\r\n2,,\r\n"},
		{CSV, true, docs[1:], "2,,\r\n"},
		{CSV, false, nil, "id,service.name,n\r\n"},
	} {
		if got := write(t, tc.f, columns, tc.appending, tc.docs...); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.f, got, tc.want)
		}
	}
	if got := write(t, CSV, []string{"x"}, false, `{}`); got != "x\r\n\"\"\r\n" {
		t.Errorf("a row of one empty cell is an empty line, which is no row: %q", got)
	}
}

// Whatever a text is, no cell is a formula, and the text is read back.
func TestTextsAreNeitherFormulasNorChanged(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'", "''=", "'=1", `"`, `a"b,c`, "a\r\nb", " x "} {
		doc, err := json.Marshal(map[string]string{"id": text})
		if err != nil {
			t.Fatal(err)
		}
		out := write(t, CSV, []string{"id"}, true, string(doc))
		cell := strings.TrimSuffix(out, "\r\n")
		if strings.HasPrefix(cell, `"`) {
			cell = strings.ReplaceAll(cell[1:len(cell)-1], `""`, `"`)
		}
		if got, present := Unescape(cell); got != text || !present {
			t.Errorf("%q is written %q and read back as %q", text, out, got)
		}
		if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
			t.Errorf("%q is a formula", cell)
		}
		if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(rows) != 1 || len(rows[0]) != 1 {
			t.Errorf("%q: %v, %v", out, rows, err)
		}
	}
}

func TestColumnsAreThoseOfTheFieldTable(t *testing.T) {
	t.Parallel()
	all := Columns(nil, nil, nil)
	if all[0] != "id" || all[1] != "@timestamp" || slices.Contains(all, "redacted.path") || !slices.Contains(all, "redacted") || !slices.Contains(all, "severity") {
		t.Errorf("all are %v", all)
	}
	if of := Columns(nil, []activity.Kind{activity.AuthEvent}, nil); slices.Contains(of, "severity") || !slices.Contains(of, "login_method") {
		t.Errorf("of an authentication event: %v", of)
	}
	got := Columns(nil, nil, []string{"user_id", "service", "details.a.b", "redacted.path", "user_id"})
	if diff := cmp.Diff([]string{"user_id", "service.name", "service.version", "service.environment", "details.a.b", "redacted"}, got); diff != "" {
		t.Error(diff)
	}
}
