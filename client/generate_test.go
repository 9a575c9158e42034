package client

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
)

var update = flag.Bool("update", false, "rewrite fields.go and the Python calls from the table of fields")

// TestCallsFollowTheTable: what the clients of both languages take is the table's, field by field.
func TestCallsFollowTheTable(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]byte{
		"fields.go": goFields(t),
		filepath.Join("python", "src", "truledgr_activities", "_calls.py"): pythonCalls(),
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s does not follow the table: run `go test ./client -update`", file)
		}
	}
}

const generated = `"go test ./client -update" from the table in activity/field.go. Do not edit.`

// A call is one of the seven, with the kind that it makes.
type call struct {
	kind         activity.Kind
	python, what string
}

var calls = []call{
	{activity.Plain, "create_activity", "something that somebody did, of no more special kind"},
	{activity.APITransaction, "log_api_transaction", "a request that this application answered"},
	{activity.DataAccess, "log_data_access", "a reading of data"},
	{activity.DataChange, "log_data_changes", "a change of data"},
	{activity.AuthEvent, "log_auth_event", "a login, a logout, or another event of authentication"},
	{activity.ExternalAPI, "log_external_api", "a call of another service"},
	{activity.SystemEvent, "log_system_event", "an event of the system, such as a start or an error"},
}

// A param is what a caller gives: a field, or a group of fields in an object of their own.
type param struct {
	name  string // in the document
	field activity.Field
	group []activity.Field // of a group, with its name cut off
}

// params are what a sender may say of an activity of kind k, in the table's order.
func params(k activity.Kind) []param {
	var all []param
	for _, f := range activity.Fields() {
		if f.Origin == activity.Agent || !f.Kinds.Has(k) || f.Name == activity.KindField.Name() {
			continue
		}
		name, rest, nested := strings.Cut(f.Name, ".")
		if !nested {
			all = append(all, param{name: name, field: f})
			continue
		}
		f.Name = rest
		if last := len(all) - 1; all[last].name == name {
			all[last].group = append(all[last].group, f)
		} else {
			all = append(all, param{name: name, group: []activity.Field{f}})
		}
	}
	return all
}

// groups are the objects that fields lie in, each once.
func groups() []param {
	var all []param
	seen := map[string]bool{}
	for _, c := range calls {
		for _, p := range params(c.kind) {
			if p.group != nil && !seen[p.name] {
				seen[p.name] = true
				all = append(all, p)
			}
		}
	}
	return all
}

func groupDoc(name string) string {
	return map[string]string{
		"service":    "the application; what is not said here the agent's configuration says",
		"host":       "where it was written",
		"log":        "where in the application it was written",
		"rate_limit": "what the called service says of its limits",
	}[name]
}

// --- Go

func goFields(t *testing.T) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "package client\n\n// Written by %s\n\nimport (\n\t\"net/netip\"\n\t\"time\"\n)\n", generated)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n// %s is %s.\ntype %s struct {\n", goName(g.name), groupDoc(g.name), goName(g.name))
		for _, f := range g.group {
			goField(&b, f)
		}
		b.WriteString("}\n")
	}
	for _, c := range calls {
		name := goKind(c.kind)
		fmt.Fprintf(&b, "\n// %s is %s. What has its zero value is not written.\ntype %s struct {\n", name, c.what, name)
		for _, p := range params(c.kind) {
			if p.group != nil {
				fmt.Fprintf(&b, "%s %s `json:\"%s,omitzero\"`\n", goName(p.name), goName(p.name), p.name)
			} else {
				goField(&b, p.field)
			}
		}
		b.WriteString("}\n")
	}
	src, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func goField(b *bytes.Buffer, f activity.Field) {
	typ, omit := "", "omitempty"
	switch f.Type {
	case activity.Keyword, activity.Text:
		typ = "string"
	case activity.Keywords:
		typ = "[]string"
	case activity.IP:
		typ, omit = "netip.Addr", "omitzero"
	case activity.Date:
		typ, omit = "time.Time", "omitzero"
	case activity.Bool:
		typ = "*bool"
	case activity.Long:
		typ = "*int"
	case activity.Double:
		typ = "*float64"
	default:
		typ = "any"
	}
	fmt.Fprintf(b, "%s %s `json:\"%s,%s\"` // %s\n", goName(f.Name), typ, f.Name, omit, strings.TrimSuffix(f.Doc, "."))
}

// goName spells a name of the table as Go does.
func goName(name string) string {
	var s strings.Builder
	for _, word := range strings.FieldsFunc(name, func(c rune) bool { return c == '_' || c == '@' }) {
		switch word {
		case "id", "ip", "ms", "api":
			s.WriteString(strings.ToUpper(word))
		default:
			s.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return s.String()
}

func goKind(k activity.Kind) string { return goName(k.String()) }

// --- Python

func pythonCalls() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `"""The seven calls and their fields.

Written by %s
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Generic, TypedDict, TypeVar

R = TypeVar("R")
`, generated)
	for _, g := range groups() {
		doc := groupDoc(g.name)
		fmt.Fprintf(&b, "\n\nclass %s(TypedDict, total=False):\n    \"\"\"%s.\"\"\"\n\n", goName(g.name), strings.ToUpper(doc[:1])+doc[1:])
		for _, f := range g.group {
			fmt.Fprintf(&b, "    %s: %s  # %s\n", f.Name, pythonType(f.Type), strings.TrimSuffix(f.Doc, "."))
		}
	}
	b.WriteString("\n\n# The type of each field, by its path in the document.\nTYPES: Final[Mapping[str, str]] = {\n")
	for _, f := range activity.Fields() {
		if f.Origin != activity.Agent && f.Name != activity.KindField.Name() {
			fmt.Fprintf(&b, "    %q: %q,\n", f.Name, f.Type)
		}
	}
	b.WriteString(`}


class Calls(ABC, Generic[R]):
    """The seven calls. All parameters are optional; one that is None is not written."""

    @abstractmethod
    def _log(self, kind: str, fields: dict[str, object]) -> R:
        """Take an activity of a kind. What is returned is what the calls return."""
`)
	for _, c := range calls {
		pythonCall(&b, c)
	}
	return b.Bytes()
}

func pythonCall(b *bytes.Buffer, c call) {
	fmt.Fprintf(b, "\n    def %s(\n        self,\n        *,\n", c.python)
	for _, p := range params(c.kind) {
		typ := goName(p.name)
		if p.group == nil {
			typ = pythonType(p.field.Type)
		}
		fmt.Fprintf(b, "        %s: %s | None = None,\n", pythonName(p.name), typ)
	}
	fmt.Fprintf(b, "        session: object = None,\n    ) -> R:\n        \"\"\"Log %s.\n\n        Args:\n", c.what)
	for _, p := range params(c.kind) {
		doc := p.field.Doc
		if p.group != nil {
			doc = groupDoc(p.name) + "."
			doc = strings.ToUpper(doc[:1]) + doc[1:]
		}
		fmt.Fprintf(b, "            %s: %s\n", pythonName(p.name), doc)
	}
	fmt.Fprintf(b, "            session: Ignored; a database session, where activities were rows of a database.\n        \"\"\"\n")
	fmt.Fprintf(b, "        return self._log(\n            %q,\n            {\n", c.kind)
	for _, p := range params(c.kind) {
		fmt.Fprintf(b, "                %q: %s,\n", p.name, pythonName(p.name))
	}
	b.WriteString("            },\n        )\n")
}

func pythonName(name string) string { return strings.TrimPrefix(name, "@") }

func pythonType(t activity.Type) string {
	switch t {
	case activity.Keyword, activity.Text:
		return "str"
	case activity.Keywords:
		return "Sequence[str]"
	case activity.IP:
		return "str | IPv4Address | IPv6Address"
	case activity.Date:
		return "datetime | str"
	case activity.Bool:
		return "bool"
	case activity.Long:
		return "int"
	case activity.Double:
		return "float"
	default:
		return "object"
	}
}
