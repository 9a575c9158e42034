package activity

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/fields.md and docs/schema from the table")

func TestDocsFollowTheTable(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]byte{
		"docs/fields.md":                   fieldsPage(),
		"docs/schema/create.schema.json":   CreateSchema(NoKind),
		"docs/schema/response.schema.json": ResponseSchema(NoKind),
	} {
		file := filepath.Join("..", filepath.FromSlash(path))
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s does not follow the table: run `go test ./activity -update`", path)
		}
	}
}

// fieldsPage is docs/fields.md.
func fieldsPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# Fields of an activity

<!-- Written by "go test ./activity -update" from the table in activity/field.go. Do not edit. -->

A stored activity is one JSON object. Its ` + "`kind`" + ` says which fields it has beside the common ones. A member without a
value is absent; dots stand for nested objects (` + "`service.name` is `{\"service\": {\"name\": …}}`" + `). What a line carries beside
these fields is kept in ` + "`details`" + `. Kinds of a configuration's own are in [classification.md](classification.md). The same as JSON Schemas: [what may be sent](schema/create.schema.json),
[what is stored](schema/response.schema.json).

## Kinds

| kind | index family | read route |
|---|---|---|
`)
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| `%s` | `activities-%s-*` | `%s` |\n", k, k.Family(), k.Route())
	}
	section(&b, "Common fields", builtin.Common)
	for _, k := range Kinds() {
		if k != Plain {
			section(&b, "`"+k.String()+"`", func(f FieldID) bool { return f.In(k) && !builtin.Common(f) })
		}
	}
	b.WriteString(`
## Types

| type | JSON | notes |
|---|---|---|
| keyword | string | matched whole |
| keywords | array of strings | each matched whole |
| text | string | searched by words |
| ip | string | an IPv4 or IPv6 address |
| date | string | RFC 3339 in UTC, up to nine fraction digits |
| bool | true or false | |
| long | number | an integer of 64 bits |
| double | number | |
| free | object | any JSON; not-objects are kept as ` + "`{\"value\": …}`" + ` |
| list | array of objects | kept, not searched |

*Given by*: a field of the sender is taken from the line or the request; a field of the agent is written by the agent
alone, and what a sender puts there goes to ` + "`details`" + `; of the others the sender's value wins. *ECS* is the name in the
Elastic Common Schema under which Kibana finds the field too.
`)
	return b.Bytes()
}

func section(b *bytes.Buffer, title string, keep func(FieldID) bool) {
	fmt.Fprintf(b, "\n## %s\n\n| field | type | ECS | given by | meaning |\n|---|---|---|---|---|\n", title)
	for f := FieldID(1); f < FieldCount; f++ {
		if !keep(f) {
			continue
		}
		row, ecs := f.Field(), ""
		if row.ECS != "" {
			ecs = "`" + row.ECS + "`"
		}
		meaning := row.Doc
		if row.Values != nil {
			meaning += " One of `" + strings.Join(row.Values, "`, `") + "`."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", row.Name, row.Type, ecs, row.Origin, meaning)
	}
}
