package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// traces are what runtimes write, each as one record, between lines that do not belong to it.
var traces = map[string]string{
	"Go panic": `panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Cart).add(0xc000012345, {0x1, 0x2})
	/src/cart.go:12 +0x1d
main.main()
	/src/main.go:5 +0x20
exit status 2`,
	"Go nested panic, with a signal": `panic: first [recovered]
	panic: second
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45e4b5]

goroutine 18 gp=0xc000002a80 m=1 mp=0xc000050008 [running]:
panic({0x47f0a0?, 0xc000014250?})
	/usr/local/go/src/runtime/panic.go:787 +0x132
created by main.start in goroutine 1
	/src/main.go:9 +0x44

goroutine 2 [select, 3 minutes]:
net/http.(*conn).serve(0xc000164000, {0x6f1b58, 0xc00011c2a0})
	/usr/local/go/src/net/http/server.go:2092 +0x5d0`,
	"Go deadlock": `fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
	/src/main.go:4 +0x1d`,
	"Go http panic": `2026/11/24 10:00:00 http: panic serving 127.0.0.1:1234: boom
goroutine 19 [running]:
net/http.(*conn).serve.func1()
	/usr/local/go/src/net/http/server.go:1947 +0xbe`,
	"Go dump of all goroutines": `SIGQUIT: quit
PC=0x46b5c1 m=0 sigcode=0

goroutine 0 gp=0x546f60 m=0 mp=0x547e00 [idle]:
runtime.futex(0x547f40, 0x80, 0x0, 0x0, 0x0, 0x0)
	/usr/local/go/src/runtime/sys_linux_amd64.s:557 +0x21 fp=0x7ffd sp=0x7ffd pc=0x46b5c1

rax    0xca
rbx    0x0`,
	"Python": `Traceback (most recent call last):
  File "/app/shop.py", line 10, in <module>
    add()
    ~~~^^
ValueError: bad thing`,
	"Python with a head, chained": `2026-11-24 10:00:00,123 ERROR shop: could not add
Traceback (most recent call last):
  File "/app/shop.py", line 10, in add
    int("x")
ValueError: invalid literal for int() with base 10: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/shop.py", line 12, in <module>
    raise CartError("bad") from e
shop.errors.CartError: bad

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop.py", line 14, in <module>
    exit()
KeyboardInterrupt`,
	"Python exception group": `  + Exception Group Traceback (most recent call last):
  |   File "/app/shop.py", line 3, in <module>
  |     raise ExceptionGroup("many", [ValueError(1)])
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------`,
	"Java": `2026-11-24 10:00:00.123 ERROR [main] shop.Cart - could not add
java.lang.IllegalStateException: bad
	at com.shop.Cart.add(Cart.java:10)
	at com.shop.Main.main(Main.java:5)
	Suppressed: java.io.IOException: close
		at com.shop.Cart.close(Cart.java:20)
		... 1 more
	Caused by: java.lang.Error: inner
		at com.shop.X.y(X.java:1)
Caused by: java.lang.NullPointerException
	at com.shop.Db.get(Db.java:7)
	... 12 common frames omitted`,
	"Java main": `Exception in thread "main" java.lang.RuntimeException: boom
	at com.shop.Main.main(Main.java:5)
Caused by: java.lang.Exception: why
	... 1 more`,
	"Java message of two lines": `java.sql.SQLException: syntax error
near "selec"
	at com.shop.Db.get(Db.java:7)`,
	".NET": `Unhandled exception. System.InvalidOperationException: bad
 ---> System.ArgumentException: inner
   at Shop.Cart.Add() in /src/Cart.cs:line 3
   --- End of inner exception stack trace ---
   at Shop.Program.Main() in /src/Program.cs:line 9`,
	".NET console logger": `fail: Microsoft.AspNetCore.Server.Kestrel[13]
      Connection id "0HL", Request id "0HL:1": an unhandled exception was thrown.
      System.Exception: bad
         at Shop.Cart.Add() in /src/Cart.cs:line 3
      --- End of stack trace from previous location ---
         at Shop.Program.Main() in /src/Program.cs:line 9`,
	"Node.js": `TypeError [ERR_INVALID_ARG_TYPE]: bad argument
    at Object.<anonymous> (/app/cart.js:1:7)
    at async Promise.all (index 0)
    at /app/cart.js:2:3 {
  code: 'ERR_INVALID_ARG_TYPE',
  [cause]: Error: inner
      at foo (/app/x.js:1:1)
}`,
	"Node.js uncaught": `/app/cart.js:12
    throw new Error('boom')
    ^

Error: boom
    at Object.<anonymous> (/app/cart.js:12:11)
    at node:internal/main/run_main_module:28:49

Node.js v22.11.0`,
	"Ruby": "app.rb:3:in `add': bad (RuntimeError)\n" + `	from app.rb:7:in ` + "`<main>'",
	"Ruby with a mark": `app.rb:3:in 'Cart#add': undefined method 'foo' for nil (NoMethodError)

    cart.foo
        ^^^^
	from app.rb:7:in '<main>'`,
}

// notTraces are lines of text that are records of their own.
var notTraces = []string{
	"plain line", "  an indented one", "Error: one", "Error: two", "Error: three, and the last", "\tat testTime we ate", "at com.shop.Cart.add(Cart.java:10)",
	"ERROR: no trace follows", "Caused by: nobody", "/var/log/app.log:12", "some text", "more text", "exit status 2",
	"panic: but no goroutine", "created by main.main", "main.main()", "fail: Shop.Cart[13]", "      indented once", "TypeError: bad", "2026-11-24 10:00:00 INFO later",
	"app.rb:3:in `add': bad (RuntimeError)", "text", "From: somebody", "[signal ]", "done",
}

func wrap(format string) func(string) string {
	switch format {
	case "docker":
		return func(s string) string {
			return dockerLine(strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\t", "\\t", "<", "\\u003c", ">", "\\u003e").Replace(s)+"\\n", "stderr")
		}
	case "cri":
		return func(s string) string { return criLine("stderr", "F", s) }
	}
	return func(s string) string { return s }
}

func eachLine(s string, f func(string) string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = f(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestAStackTraceIsOneRecord(t *testing.T) {
	t.Parallel()
	for name, trace := range traces {
		for _, format := range []string{"bare", "docker", "cri"} {
			t.Run(name+", "+format, func(t *testing.T) {
				t.Parallel()
				w := wrap(format)
				others := map[string][2]string{
					"between JSON": {`{"before":1}`, `{"after":1}`},
					"between text": {"2026-11-24 10:00:00 INFO before", "2026-11-24 10:00:00 INFO after"},
					"twice":        {trace, ""},
				}
				for where, o := range others {
					in := ""
					if o[0] != "" {
						in = eachLine(o[0], w)
					}
					in += eachLine(trace, w)
					if o[1] != "" {
						in += eachLine(o[1], w)
					}
					records, _ := cutAll(t, &Cutter{MaxLine: 64 << 10, Traces: true}, []byte(in), whole)
					want := []int{strings.Count(o[0], "\n") + 1, strings.Count(trace, "\n") + 1, 1}
					if o[1] == "" {
						want = want[:2]
					}
					var got []int
					for _, r := range records {
						got = append(got, len(r.Lines))
					}
					if format == "bare" { // blank lines are no content
						for i, s := range []string{o[0], trace} {
							want[i] -= strings.Count(s, "\n\n")
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: got records of %d lines, want %d", where, got, want)
						for _, r := range records {
							t.Logf("%q", r.Lines)
						}
					}
				}
			})
		}
	}
}

func TestLinesThatAreNoTraceAreRecords(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"bare", "docker", "cri"} {
		in := eachLine(strings.Join(notTraces, "\n"), wrap(format))
		records, lines := cutAll(t, &Cutter{MaxLine: 64 << 10, Traces: true}, []byte(in), whole)
		if len(records) != len(notTraces) || lines != int64(len(notTraces)) {
			t.Errorf("%s: got %d records, want %d", format, len(records), len(notTraces))
			for _, r := range records {
				t.Logf("%q", r.Lines)
			}
		}
	}
}

func TestTracesOfTwoStreamsInterleaved(t *testing.T) {
	t.Parallel()
	a, b := strings.Split(traces["Java"], "\n"), strings.Split(traces["Python"], "\n")
	var in strings.Builder
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			in.WriteString(criLine("stdout", "F", a[i]) + "\n")
		}
		if i < len(b) {
			in.WriteString(criLine("stderr", "F", b[i]) + "\n")
		}
		if i == 3 {
			in.WriteString(criLine("other", "F", "x") + "\n")
		}
	}
	records, _ := cutAll(t, &Cutter{MaxLine: 64 << 10, Traces: true}, []byte(in.String()), whole)
	var got []int
	for _, r := range records {
		got = append(got, len(r.Lines))
	}
	slices.Sort(got)
	if want := []int{1, len(b), len(a)}; !slices.Equal(got, want) {
		t.Errorf("got records of %d lines, want %d", got, want)
	}
}

// TestALineOfTextDoesNotHoldUpTheOtherStream: nothing waits for a stream that is silent for long.
func TestALineOfTextDoesNotHoldUpTheOtherStream(t *testing.T) {
	t.Parallel()
	in := criLine("stderr", "F", "text") + "\n" + strings.Repeat(criLine("stdout", "F", "more text")+"\n", 200)
	c := &Cutter{MaxLine: 64 << 10, Traces: true}
	raw := &Raw{Buf: []byte(in), Ranges: []Range{{}}}
	_, lines := c.Cut(raw, 0, len(in), 0, false)
	if lines != 200 || len(raw.Cuts) != 200 || !c.Waiting {
		t.Errorf("got %d lines and %d records, want 200 of 201", lines, len(raw.Cuts))
	}
	// What came long ago does not wait for what has just come.
	raw = &Raw{Buf: []byte(in), Ranges: []Range{{}}}
	c.Settled = int64(len(in))
	if n, _ := c.Cut(raw, 0, len(in), 0, false); n != len(in) || c.Waiting {
		t.Errorf("consumed %d bytes of %d", n, len(in))
	}
}

func TestATraceIsBounded(t *testing.T) {
	t.Parallel()
	in := "head\n" + strings.Repeat("\tat com.shop.Cart.add(Cart.java:10)\n", 3*maxGroup)
	for name, c := range map[string]*Cutter{"lines": {MaxLine: 1 << 20, Traces: true}, "bytes": {MaxLine: 4 << 10, Traces: true}} {
		records, lines := cutAll(t, c, []byte(in), whole)
		if lines != 3*maxGroup+1 || len(records) < 3 || len(records) > len(in)/c.MaxLine+len(in)/64/maxGroup+10 {
			t.Errorf("%s: got %d records", name, len(records))
		}
		for _, r := range records {
			if size := len(strings.Join(r.Lines, "\n")); len(r.Lines) > maxGroup || size > c.MaxLine {
				t.Errorf("%s: got a record of %d lines, %d bytes", name, len(r.Lines), size)
			}
		}
	}
}

// TestTheIDOfATraceIsThatOfItsFirstLine: however much of it had come when it was read.
func TestTheIDOfATraceIsThatOfItsFirstLine(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"bare", "docker", "cri"} {
		w := wrap(format)
		lines := strings.Split(traces["Java"], "\n")
		ids := map[string]bool{}
		for n := 1; n <= len(lines); n++ {
			in := []byte(eachLine(strings.Join(lines[:n], "\n"), w))
			raw := &Raw{Buf: in, Ranges: []Range{{Stream: &Stream{Path: "/a"}}}}
			(&Cutter{MaxLine: 1 << 20, Traces: true}).Cut(raw, 0, len(in), 0, true)
			var b Batch
			newPipeline(t, Config{}).Process(raw, 7, testTime, &b)
			ids[b.Records[0].ID.String()] = true
		}
		if len(ids) != 1 {
			t.Errorf("%s: got %d ids", format, len(ids))
		}
	}
}

func TestWhatATraceBecomes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ description, stack, severity string }{
		"Go panic":                    {"panic: runtime error: index out of range [5] with length 3", "goroutine 1 [running]:\nmain.(*Cart)", "critical"},
		"Go dump of all goroutines":   {"SIGQUIT: quit", "PC=0x46b5c1", "error"},
		"Python":                      {"ValueError: bad thing", "Traceback (most recent call last):\n  File", "error"},
		"Python with a head, chained": {"2026-11-24 10:00:00,123 ERROR shop: could not add", "Traceback", "error"},
		"Java":                        {"2026-11-24 10:00:00.123 ERROR [main] shop.Cart - could not add", "java.lang.IllegalStateException: bad\n\tat com", "error"},
		"Node.js uncaught":            {"Error: boom", "/app/cart.js:12\n", "error"},
		"Ruby":                        {"app.rb:3:in `add': bad (RuntimeError)", "\tfrom app.rb:7", "error"},
	} {
		for _, format := range []string{"bare", "docker", "cri"} {
			t.Run(name+", "+format, func(t *testing.T) {
				t.Parallel()
				in := []byte(eachLine(traces[name], wrap(format)))
				raw := &Raw{Buf: in, Ranges: []Range{{Stream: &Stream{Path: "/a"}}}}
				(&Cutter{MaxLine: 1 << 20, Traces: true}).Cut(raw, 0, len(in), 0, true)
				var b Batch
				newPipeline(t, Config{}).Process(raw, 7, testTime, &b)
				if len(b.Records) != 1 {
					t.Fatalf("got %d records", len(b.Records))
				}
				doc := documents(t, &b)[0]
				stack, _ := doc["stack_trace"].(string)
				if doc["kind"] != "system_event" || doc["description"] != want.description || doc["severity"] != want.severity ||
					!strings.HasPrefix(stack, want.stack) || !strings.HasSuffix(stack, lastLine(traces[name])) {
					t.Errorf("got %s", b.Doc(0))
				}
			})
		}
	}
}

// TestATraceIsRedacted: in both fields.
func TestATraceIsRedacted(t *testing.T) {
	t.Parallel()
	const secret = "AKIAIOSFODNN7EXAMPLE"
	in := []byte(fmt.Sprintf("failed with %s\njava.lang.X: %s\n\tat com.shop.Cart.add(Cart.java:10)\n", secret, secret))
	raw := &Raw{Buf: in, Ranges: []Range{{Stream: &Stream{Path: "/a"}}}}
	(&Cutter{MaxLine: 1 << 20, Traces: true}).Cut(raw, 0, len(in), 0, true)
	var b Batch
	newPipeline(t, Config{}).Process(raw, 7, testTime, &b)
	if doc := string(b.Doc(0)); strings.Contains(doc, secret) || !strings.Contains(doc, `"path":"stack_trace"`) || !strings.Contains(doc, `"path":"description"`) {
		t.Errorf("got %s", doc)
	}
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }
