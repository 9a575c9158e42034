// Package rule holds the rules of the user: which lines they are for, and what becomes of those.
//
// A condition is an expression over the members of a line (expr-lang.org). It is compiled once, and only lines that have
// one of the members it names pay for it, unless it can hold where none of them is there. It has no clock, no loops over
// numbers and a bounded memory, so that it says the same of the same line, soon.
package rule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/truledgr/activity-agent/internal/tape"
)

// Names that a condition can use beside those of the line's members.
const (
	Line = "line"  // line["a.b"]: a member whose name is no identifier
	Text = "_text" // the text of a line that is no JSON, else nil
	Kind = "_kind" // the kind that the line would get
	File = "_file" // the path of the file
)

const (
	maxNodes  = 500     // of an expression
	maxDepth  = 2       // of predicates in predicates, such as all(a, any(#.b, …))
	maxMemory = 100_000 // units of the machine: elements and characters that a condition makes
	maxValues = 2_000   // of a line that are given to a condition
)

// A Condition is a compiled `when`. It is safe for concurrent use; the machine that runs it is not.
type Condition struct {
	program *vm.Program
	members []member // of the line, that it names
	always  bool     // holds where the line has none of them
	more    bool     // names Text, Kind or File, too, and so may hold without them
}

type member struct {
	name string
	hash uint32
}

// impure are the functions that ask the clock or the machine, or that answer differently when asked again.
var impure = []string{"now", "date", "duration", "timezone"}

// Compile prepares a condition. Its error says what is wrong and where, for a person who wrote it.
func Compile(when string) (*Condition, error) {
	if strings.TrimSpace(when) == "" {
		return nil, errors.New("the condition is empty")
	}
	check := &checker{seen: map[string]bool{}}
	options := []expr.Option{expr.AsBool(), expr.AllowUndefinedVariables(), expr.MaxNodes(maxNodes), expr.Patch(check)}
	for _, name := range impure {
		options = append(options, expr.DisableBuiltin(name))
	}
	program, err := expr.Compile(when, options...)
	if check.err != nil {
		return nil, check.err
	}
	if err != nil {
		return nil, located(err)
	}
	c := &Condition{program: program, members: check.members, more: check.more}
	if c.always, err = c.tryOut(); err != nil {
		return nil, err
	}
	return c, nil
}

// located says an error of the expression on one line.
func located(err error) error {
	var e *file.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("the condition is wrong: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	message, _, _ := strings.Cut(e.Message, "\n")
	return fmt.Errorf("line %d, column %d of the condition: %s", e.Line, e.Column+1, message)
}

// checker looks at each node of an expression before it is optimised.
type checker struct {
	seen    map[string]bool
	members []member
	more    bool
	err     error
}

func (c *checker) fail(n ast.Node, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("column %d of the condition: %s", n.Location().From+1, fmt.Sprintf(format, args...))
	}
}

// Visit implements ast.Visitor.
func (c *checker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		switch n.Value {
		case Text, Kind, File:
			c.more = true
		case Line:
		case "$env":
			c.fail(n, `write line["name"] for a member whose name is no identifier`)
		default:
			c.needs(n.Value)
		}
	case *ast.MemberNode:
		if base, ok := n.Node.(*ast.IdentifierNode); ok && base.Value == Line {
			name, ok := n.Property.(*ast.StringNode)
			if !ok {
				c.fail(n, `name the member in quotes, as in line["log.level"]`)
				return
			}
			c.needs(name.Value)
		}
	case *ast.BinaryNode:
		if n.Operator == ".." && !constant(n.Left, n.Right) {
			c.fail(n, "write the ends of a range as numbers, at most 1000 apart")
		}
	case *ast.CallNode:
		if f, ok := n.Callee.(*ast.IdentifierNode); ok {
			c.fail(n, "there is no function %s", f.Value)
		} else {
			c.fail(n, "values have no methods")
		}
	case *ast.BuiltinNode:
		if depth(n) > maxDepth {
			c.fail(n, "at most %d functions over elements may be inside each other", maxDepth)
		}
	}
}

func (c *checker) needs(name string) {
	if !c.seen[name] {
		c.seen[name] = true
		c.members = append(c.members, member{name, tape.Hash([]byte(name))})
	}
}

func constant(low, high ast.Node) bool {
	a, ok1 := low.(*ast.IntegerNode)
	b, ok2 := high.(*ast.IntegerNode)
	return ok1 && ok2 && b.Value-a.Value <= 1000
}

// depth counts the functions over elements that are inside each other.
func depth(n *ast.BuiltinNode) int {
	deepest := 0
	for _, a := range n.Arguments {
		if p, ok := a.(*ast.PredicateNode); ok {
			f := finder{}
			body := p.Node
			ast.Walk(&body, &f)
			deepest = max(deepest, 1+f.deepest)
		}
	}
	return deepest
}

type finder struct{ deepest int }

// Visit implements ast.Visitor.
func (f *finder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.BuiltinNode); ok {
		f.deepest = max(f.deepest, depth(n))
	}
}

// tryOut evaluates the condition on lines that are made up, and reports whether it holds where no member is there.
func (c *Condition) tryOut() (always bool, err error) {
	machine := &Machine{}
	for i, sample := range []any{nil, "", "text", 0.0, 1.5, true, []any{"a", 1.0}, map[string]any{"a": "b"}} {
		env := map[string]any{}
		members := map[string]any{}
		for _, m := range c.members {
			env[m.name], members[m.name] = sample, sample
		}
		env[Line] = members
		ok, err := machine.run(c, env)
		if err != nil && (strings.Contains(err.Error(), "memory budget") || strings.Contains(err.Error(), "runtime error")) {
			return false, fmt.Errorf("the condition fails: %s", firstLine(err))
		}
		if i == 0 {
			always = ok
		}
	}
	return always, nil
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// A Machine evaluates conditions. It holds memory: one goroutine at a time.
type Machine struct {
	vm      vm.VM
	env     map[string]any
	members map[string]any
}

// A Subject is the line that conditions are asked about.
type Subject struct {
	Tape *tape.Tape // nil for a line that is no JSON object
	Text []byte     // of a line that is no JSON
	Kind string
	File string
}

// Holds evaluates a condition. One that cannot be evaluated, such as level > 3 where level is a text, does not hold.
func (m *Machine) Holds(c *Condition, s *Subject) bool {
	if !c.candidate(s) {
		return false
	}
	if m.env == nil {
		m.env, m.members = map[string]any{}, map[string]any{}
	}
	clear(m.env)
	clear(m.members)
	m.env[Line], m.env[Kind], m.env[File] = m.members, s.Kind, s.File
	if s.Text != nil {
		m.env[Text] = string(s.Text)
	}
	left := maxValues
	for _, n := range c.members {
		if i := find(s.Tape, n); i != 0 {
			v := value(s.Tape, i, &left)
			m.env[n.name], m.members[n.name] = v, v
		}
	}
	ok, _ := m.run(c, m.env)
	return ok
}

func (m *Machine) run(c *Condition, env map[string]any) (bool, error) {
	m.vm.MemoryBudget = maxMemory
	v, err := m.vm.Run(c.program, env)
	ok, _ := v.(bool)
	return ok && err == nil, err
}

// candidate reports whether a condition can hold for a line at all.
func (c *Condition) candidate(s *Subject) bool {
	if c.always || c.more || len(c.members) == 0 {
		return true
	}
	for _, n := range c.members {
		if find(s.Tape, n) != 0 {
			return true
		}
	}
	return false
}

// find returns the node of a member of the line, 0 for none.
func find(t *tape.Tape, m member) uint32 {
	if t == nil {
		return 0
	}
	end := t.Nodes[0].Next
	for j := uint32(1); j < end; j = t.Nodes[j].Next {
		if n := &t.Nodes[j]; n.Hash == m.hash && n.Flags&tape.Duplicate == 0 && string(t.Key(n)) == m.name {
			return j
		}
	}
	return 0
}

// value makes a value of expressions of a node: numbers are float64, as with encoding/json. What is beyond the limit is
// nil.
func value(t *tape.Tape, i uint32, left *int) any {
	if *left--; *left < 0 {
		return nil
	}
	n := &t.Nodes[i]
	switch n.Type {
	case tape.False, tape.True:
		return n.Type == tape.True
	case tape.Number:
		return number(t.Raw(n))
	case tape.String:
		text, _ := t.Text(n, nil)
		return string(text)
	case tape.Array:
		list := []any{}
		for j := i + 1; j < n.Next; j = t.Nodes[j].Next {
			list = append(list, value(t, j, left))
		}
		return list
	case tape.Object:
		object := map[string]any{}
		for j := i + 1; j < n.Next; j = t.Nodes[j].Next {
			if m := &t.Nodes[j]; m.Flags&tape.Duplicate == 0 {
				object[string(t.Key(m))] = value(t, j, left)
			}
		}
		return object
	}
	return nil
}
