package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// record is a record as a test sees it.
type record struct {
	Format Format
	Lines  []string // kept bytes of its pieces
	At     []int64  // their offsets
	Skip   int64
}

// cutAll cuts data as it arrives in chunks, the way a tailer does, and returns what came of it.
func cutAll(t testing.TB, c *Cutter, data []byte, chunk func() int) (records []record, lines int64) {
	t.Helper()
	var off, avail int
	for off < len(data) {
		avail = min(len(data), max(avail, off)+chunk())
		final := avail == len(data)
		raw := &Raw{Buf: data[off:avail:avail], Ranges: []Range{{}}}
		consumed, n := c.Cut(raw, 0, avail-off, int64(off), false)
		if final && consumed < avail-off {
			rest := &Raw{Buf: data[off+consumed : avail : avail], Ranges: []Range{{}}}
			m, l := c.Cut(rest, 0, len(rest.Buf), int64(off+consumed), true)
			if got, want := m, len(rest.Buf); got != want {
				t.Fatalf("final cut consumed %d of %d bytes", got, want)
			}
			records, lines = append(records, read(raw)...), lines+n+l
			return append(records, read(rest)...), lines
		}
		records, lines = append(records, read(raw)...), lines+n
		off += consumed
	}
	return records, lines
}

func read(raw *Raw) (out []record) {
	for _, c := range raw.Cuts {
		r := record{Format: c.Format}
		for _, p := range raw.Pieces[c.First : c.First+c.Pieces] {
			r.Lines = append(r.Lines, string(raw.Buf[p.At:p.At+p.Len]))
			r.At = append(r.At, p.Offset)
			r.Skip += p.Skip
		}
		out = append(out, r)
	}
	return out
}

func whole() int { return 1 << 30 }

func dockerLine(log, stream string) string {
	return fmt.Sprintf(`{"log":"%s","stream":"%s","time":"2026-11-23T18:00:00.1Z"}`, log, stream)
}

func criLine(stream, tag, content string) string {
	return "2026-11-23T18:00:00.123456789Z " + stream + " " + tag + " " + content
}

func TestCut(t *testing.T) {
	t.Parallel()
	d1, d2 := dockerLine("par", "stdout"), dockerLine(`t\n`, "stdout")
	c1, c2, c3 := criLine("stdout", "P", "a"), criLine("stdout", "P", "b"), criLine("stdout", "F", "c")
	e1, e2 := criLine("stderr", "P", "x"), criLine("stderr", "F", "y")
	for name, tt := range map[string]struct {
		in       string
		envelope Envelope
		max      int
		want     []string // "format:piece|piece"
		lines    int64
	}{
		"ordinary lines":             {in: "{\"a\":1}\n{\"b\":2}\n", want: []string{`0:{"a":1}`, `0:{"b":2}`}, lines: 2},
		"CRLF":                       {in: "a\r\nb\r\n", want: []string{"0:a", "0:b"}, lines: 2},
		"byte-order mark":            {in: "\xEF\xBB\xBF{}\n\xEF\xBB\xBF\n", want: []string{"0:{}"}, lines: 2},
		"blank lines are no records": {in: "\n \t\r\n\x00\x00\n  x\n", want: []string{"0:  x"}, lines: 4},
		"NULs before content":        {in: "\x00\x00\x00{\"a\":1}\n", want: []string{`0:{"a":1}`}, lines: 1},
		"a line over the limit":      {in: "0123456789\n", max: 4, want: []string{"0:0123+6"}, lines: 1},
		"remainder":                  {in: "a\nb", want: []string{"0:a", "0:b"}, lines: 2},
		"docker": {
			in: d1 + "\n" + d2 + "\n", want: []string{"1:" + d1 + "|" + d2}, lines: 2,
		},
		"docker with an escaped backslash before n is partial": {
			in: dockerLine(`C:\\n`, "stdout") + "\n" + d2 + "\n", want: []string{"1:" + dockerLine(`C:\\n`, "stdout") + "|" + d2},
			lines: 2,
		},
		"docker with attributes": {
			in:   `{"log":"x\n","stream":"stderr","attrs":{"a":"b"},"time":"t"}` + "\n",
			want: []string{`1:{"log":"x\n","stream":"stderr","attrs":{"a":"b"},"time":"t"}`}, lines: 1,
		},
		"CRI partials of two streams interleaved": {
			in:   strings.Join([]string{c1, e1, c2, e2, c3, ""}, "\n"),
			want: []string{"2:" + e1 + "|" + e2, "2:" + c1 + "|" + c2 + "|" + c3}, lines: 5,
		},
		"a malformed CRI line between partials": {
			in:   strings.Join([]string{c1, "2026-11-23Tbroken", c3, ""}, "\n"),
			want: []string{"0:2026-11-23Tbroken", "2:" + c1 + "|" + c3}, lines: 3,
		},
		"partials at the end": {in: c1 + "\n" + c2 + "\n", want: []string{"2:" + c1 + "|" + c2}, lines: 2},
		"partials too far apart are parted": {
			in: strings.Join([]string{c1, c2, c3, ""}, "\n"), max: len(c1) * 2,
			want: []string{"2:" + c1, "2:" + c2, "2:" + c3}, lines: 3,
		},
		"json format takes no envelope": {in: c1 + "\n", envelope: NoEnvelope, want: []string{"0:" + c1}, lines: 1},
		"docker format takes no CRI":    {in: c3 + "\n", envelope: DockerEnvelope, want: []string{"0:" + c3}, lines: 1},
		"CRI without content":           {in: "2026-11-23T18:00:00Z stdout F\n", want: []string{"2:2026-11-23T18:00:00Z stdout F"}, lines: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.max == 0 {
				tt.max = 1 << 10
			}
			records, lines := cutAll(t, &Cutter{Envelope: tt.envelope, MaxLine: tt.max}, []byte(tt.in), whole)
			var got []string
			for _, r := range records {
				s := fmt.Sprintf("%d:%s", r.Format, strings.Join(r.Lines, "|"))
				if r.Skip > 0 {
					s += fmt.Sprintf("+%d", r.Skip)
				}
				got = append(got, s)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if lines != tt.lines {
				t.Errorf("got %d lines, want %d", lines, tt.lines)
			}
		})
	}
}

func TestManyPartialsArePartedAtTheLimit(t *testing.T) {
	t.Parallel()
	line := criLine("stdout", "P", "") + "\n"
	in := strings.Repeat(line, maxGroup+1)
	records, _ := cutAll(t, &Cutter{MaxLine: 1 << 20}, []byte(in), whole)
	if len(records) != 2 || len(records[0].Lines) != maxGroup || len(records[1].Lines) != 1 {
		t.Fatalf("got %d records, want one of %d pieces and one of 1", len(records), maxGroup)
	}
}

func TestARangeNeverEndsInsideARecord(t *testing.T) {
	t.Parallel()
	full := criLine("stderr", "F", "full") + "\n"
	in := full + criLine("stdout", "P", "a") + "\n" + full + full
	c := &Cutter{MaxLine: 1 << 10}
	raw := &Raw{Buf: []byte(in), Ranges: []Range{{}}}
	consumed, lines := c.Cut(raw, 0, len(in), 0, false)
	if consumed != len(full) || lines != 1 || len(raw.Cuts) != 1 || len(raw.Pieces) != 1 {
		t.Errorf("got %d bytes, %d lines, %d cuts, %d pieces; want %d, 1, 1, 1",
			consumed, lines, len(raw.Cuts), len(raw.Pieces), len(full))
	}
}

func TestParseCRI(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-11-23T18:00:00.1Z stdout F hello there":     "2026-11-23T18:00:00.1Z/stdout/false/hello there",
		"2026-11-23T18:00:00.1+02:00 stderr P:x hello":    "2026-11-23T18:00:00.1+02:00/stderr/true/hello",
		"2026-11-23T18:00:00Z stdout F ":                  "2026-11-23T18:00:00Z/stdout/false/",
		"2026-11-23T18:00:00Z stdout X hello":             "no",
		"2026-11-23T18:00:00Z stdfoo F hello":             "no",
		"2026-11-23T18:00:00Z stdout Full hello":          "no",
		"2026-11-23T18:00:00Z stdout  hello":              "no",
		"2026-11-23 18:00:00 INFO stdout F of something":  "no",
		"2026-11-23T18:00:00.000 INFO com.x.Y stdout F a": "no",
		"": "no",
	} {
		got := "no"
		if tm, stream, partial, content, ok := parseCRI([]byte(in)); ok {
			got = fmt.Sprintf("%s/%s/%v/%s", tm, stream, partial, content)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("{\"a\":1}\r\n\xEF\xBB\xBFx\n\x00\x00y\n\nz"), []byte{3, 9}, uint8(0), uint16(100))
	f.Add([]byte(dockerLine("a", "stdout")+"\n"+dockerLine(`b\n`, "stderr")+"\n"+dockerLine(`c\n`, "stdout")+"\n"),
		[]byte{7}, uint8(0), uint16(300))
	f.Add([]byte(criLine("stdout", "P", "a")+"\n"+criLine("stderr", "P", "b")+"\n"+criLine("stdout", "F", "c")+"\n"),
		[]byte{50, 1}, uint8(3), uint16(90))
	f.Add([]byte("head\n\tat a.b(c)\n\nError: x\n  y\n\tat z(1)\nCaused by: e\n\n\nx\npanic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n{\"a\":1}\n"),
		[]byte{9, 20, 3}, uint8(4), uint16(400))
	f.Add([]byte(criLine("stdout", "F", "text")+"\n"+criLine("stderr", "F", "Traceback (most recent call last):")+"\n"+
		criLine("stdout", "F", "")+"\n"+criLine("stderr", "F", "  File x")+"\n"+criLine("stdout", "P", "{")+"\n"+
		criLine("stderr", "F", "ValueError: x")+"\n"+criLine("stdout", "F", "}")+"\n"+criLine("stderr", "F", "")+"\n"),
		[]byte{60, 100}, uint8(4), uint16(500))
	f.Add([]byte(dockerLine(`/a.js:1\n`, "stdout")+"\n"+dockerLine(`code\n`, "stdout")+"\n"+dockerLine(`^\n`, "stdout")+"\n"+
		dockerLine(`\n`, "stdout")+"\n"+dockerLine(`Error: x\n`, "stdout")+"\n"+dockerLine(`    at x (y)\n`, "stdout")+"\n"),
		[]byte{60}, uint8(4), uint16(500))
	f.Fuzz(func(t *testing.T, data, chunks []byte, envelope uint8, maxLine uint16) {
		c := &Cutter{Envelope: Envelope(envelope % 4), MaxLine: int(maxLine%512) + 1, Traces: envelope&4 != 0}
		want, wantLines := cutAll(t, c, data, whole)
		i := 0
		got, gotLines := cutAll(t, c, data, func() int {
			if len(chunks) == 0 {
				return 5
			}
			i++
			return int(chunks[i%len(chunks)]) + 1
		})
		if a, b := flat(got), flat(want); !slices.Equal(a, b) {
			t.Errorf("in chunks: %q\nat once:   %q", a, b)
		}
		if gotLines != wantLines {
			t.Errorf("in chunks %d lines, at once %d", gotLines, wantLines)
		}
		n := int64(bytes.Count(data, []byte("\n")))
		if len(data) > 0 && data[len(data)-1] != '\n' {
			n++
		}
		if wantLines != n {
			t.Errorf("got %d lines, want %d", wantLines, n)
		}
		checkAccounted(t, data, want)
	})
}

// checkAccounted fails unless every byte of data is in exactly one piece, over the limit, or no content.
func checkAccounted(t *testing.T, data []byte, records []record) {
	t.Helper()
	used := make([]int, len(data))
	for _, r := range records {
		for i, line := range r.Lines {
			n := int64(len(line))
			if i == len(r.Lines)-1 {
				n += r.Skip
			}
			for j := r.At[i]; j < r.At[i]+n; j++ {
				used[j]++
			}
		}
	}
	for i, n := range used {
		if n > 1 {
			t.Fatalf("byte %d is in %d pieces", i, n)
		}
		if n == 0 && !strings.ContainsRune("\x00\t\n\v\f\r \xEF\xBB\xBF", rune(data[i])) && data[i] < 0x80 {
			t.Fatalf("byte %d is content and in no piece", i)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	for name, line := range map[string]string{
		"json":   `{"ts":1763921234.1234,"level":"info","msg":"user logged in","user_id":"u-1234","ip":"10.1.2.3","path":"/api/v1/login","status":200,"duration_ms":12.25,"request_id":"01JD0000000000000000000000"}`,
		"docker": dockerLine(strings.Repeat(`{\"level\":\"info\",\"msg\":\"user logged in\"} `, 5)+`\n`, "stdout"),
		"cri":    criLine("stdout", "F", strings.Repeat(`{"level":"info","msg":"user logged in"} `, 5)),
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(strings.Repeat(line+"\n", 1000))
			raw := &Raw{Buf: data, Ranges: []Range{{}}}
			c := &Cutter{MaxLine: 1 << 20}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				raw.Cuts, raw.Pieces = raw.Cuts[:0], raw.Pieces[:0]
				if n, _ := c.Cut(raw, 0, len(data), 0, false); n != len(data) {
					b.Fatal("not all consumed")
				}
			}
		})
	}
}

func flat(records []record) (out []string) {
	for _, r := range records {
		out = append(out, fmt.Sprint(r.Format, r.At, r.Skip, r.Lines))
	}
	return out
}
