package tape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"unicode/utf8"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// decode turns the tape back into what encoding/json would have made of the text.
func decode(t *Tape, i uint32) any {
	n := &t.Nodes[i]
	switch n.Type {
	case Null:
		return nil
	case True, False:
		return n.Type == True
	case Number:
		return json.Number(t.Raw(n))
	case String:
		s, _ := t.Text(n, nil)
		return string(s)
	case Object:
		m := map[string]any{}
		for j := i + 1; j < n.Next; j = t.Nodes[j].Next {
			if t.Nodes[j].Flags&Duplicate == 0 {
				m[string(t.Key(&t.Nodes[j]))] = decode(t, j)
			}
		}
		return m
	default:
		a := []any{}
		for j := i + 1; j < n.Next; j = t.Nodes[j].Next {
			a = append(a, decode(t, j))
		}
		return a
	}
}

// same parses src both ways and compares.
func same(t *testing.T, tp *Tape, src []byte) {
	t.Helper()
	if !utf8.Valid(src) {
		return
	}
	err := tp.Parse(src)
	if err == ErrDepth {
		return
	}
	valid := json.Valid(src)
	if (err == nil) != valid {
		t.Fatalf("Parse(%q) = %v, encoding/json says %v", src, err, valid)
	}
	if err != nil {
		return
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var want any
	if err := d.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if got := decode(tp, 0); !reflect.DeepEqual(got, want) {
		t.Fatalf("Parse(%q)\n got %#v\nwant %#v", src, got, want)
	}
}

var seeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1e5`, `1.5E-3`, `""`, `"a"`, ` { "a" : [ 1 , 2 ] } `,
	`{"a":1,"a":2}`, `{"a":{"b":1,"b":{"c":[]}},"a":3}`, `{"\u0061":1,"a":2}`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`,
	`"\u12"`, `01`, `1.`, `.5`, `+1`, `1e`, `{"a"}`, `{"a":}`, `{,}`, `[1,]`, `"`, `"\`, `"\x"`, "\"\t\"", `tru`, `nul`, ``, ` `,
	`{"longer key than eight":"a longer value than eight bytes \" with \\ escapes \n and more"}`, `"ütf-8 ünd 漢字 and long enough"`,
	`[[[[[[]]]]]]`, `{"":""}`, `{"a":1} x`, `"12345678"`, `"1234567\u0000"`, `"123456789012345"`,
}

func TestParseAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	var tp Tape
	for _, s := range seeds {
		same(t, &tp, []byte(s))
		for cut := range len(s) {
			same(t, &tp, []byte(s[:cut]))
		}
	}
}

func TestParseSuite(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join(testenv.Shared(t, "corpus/json/suite"), "*.json"))
	if len(files) == 0 {
		t.Fatal("the suite is empty")
	}
	var tp Tape
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		err = tp.Parse(src)
		name := filepath.Base(f)
		if name[0] == 'y' && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name[0] == 'n' && err == nil && utf8.Valid(src) {
			t.Errorf("%s was taken", name)
		}
		same(t, &tp, src)
	}
}

func TestManyMembersCostNoQuadraticTime(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("{")
	for i := range 100_000 {
		// Equal length, first and last eight bytes: all hashes collide.
		fmt.Fprintf(&b, `"prefix--%06d--suffix":%d,`, i%60_000, i)
	}
	b.WriteString(`"z":0}`)
	start := time.Now()
	var tp Tape
	if err := tp.Parse(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if tp.Duplicates != 40_000 {
		t.Errorf("%d duplicates, want 40000", tp.Duplicates)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	var tp Tape
	if err := tp.Parse([]byte(strings.Repeat("[", 100_000))); err != ErrDepth {
		t.Errorf("got %v, want ErrDepth", err)
	}
	if err := tp.Parse([]byte(strings.Repeat("[", 500) + strings.Repeat("]", 500))); err != nil {
		t.Errorf("500 levels: %v", err)
	}
}

func TestEscapeRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var s []rune
		for range r.IntN(12) {
			s = append(s, []rune{'a', '"', '\\', '\n', '\t', 0, 0x1f, 'é', '漢', '😀', '/', 0x7f, '\r', '\b', '\f'}[r.IntN(15)])
		}
		src := append(AppendEscaped([]byte{'"'}, []byte(string(s))), '"')
		var got string
		if err := json.Unmarshal(src, &got); err != nil || got != string(s) {
			t.Fatalf("%q became %q (%v)", string(s), src, err)
		}
		if back := AppendUnescaped(nil, src[1:len(src)-1]); string(back) != string(s) {
			t.Fatalf("%q came back as %q", string(s), back)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var tp Tape
		same(t, &tp, src)
	})
}

func BenchmarkParse(b *testing.B) {
	src := []byte(`{"timestamp":"2026-01-05T08:00:00.000050123Z","activity_type":"api_transaction","service_name":"checkout-api","user_id":"usr_100234","entity_type":"order","entity_id":"a1b2c3d4e5f6","description":"GET order","method":"GET","endpoint":"/api/v2/orders/123456?page=3","status_code":200,"status":"success","request_data":{"page_size":50,"sort":"-created_at"},"response_data":{"id":"0123456789abcdef","state":"accepted","count":17},"headers":{"Host":"api.example.com","Content-Type":"application/json","X-Request-Id":"6b1f0f3a-1111-4222-a333-444455556666","Authorization":"Bearer 0123456789abcdef0123456789abcdef01234567"},"execution_time_ms":12.345,"ip_address":"10.1.2.3","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0 Safari/537.36","tags":["prod","eu-west-1"],"seq":1}`)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	var t Tape
	for b.Loop() {
		if err := t.Parse(src); err != nil {
			b.Fatal(err)
		}
	}
}
