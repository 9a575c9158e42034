package pipeline

import "bytes"

// A trace follows the lines of a stack trace. It tells of each line whether it belongs to those before it, by what the
// runtimes of Go, Java, .NET, Node.js, Python and Ruby write and by nothing else: lines that are merely indented do not.
type trace struct {
	at     place
	blanks int // before the line that comes
}

// place is where in a trace the next line is expected.
type place uint8

const (
	afterText    place = iota // a line of text: the head of a trace, if one follows
	afterError                // a line that names an exception, and perhaps more lines of its message
	afterSource               // Node.js: the file and the number of the line that threw
	afterCode                 // … that line
	afterCaret                // … and the mark under it
	inFrames                  // of Java, .NET and Node.js
	inMembers                 // of an error of Node.js, between braces
	afterPanic                // Go: what it died of
	inGoroutines              // Go
	inTraceback               // Python: below "Traceback (most recent call last):"
	afterRaised               // Python: below the exception
	afterChained              // Python: below what says how the next traceback came about
	inGroup                   // Python: of an exception group, whose lines have a frame around them
	afterHead                 // a line that begins a message of several, indented lines: of Ruby, or of .NET's console logger
	inRuby                    // Ruby: the callers
	afterEnd                  // nothing more
)

// A fit says how a line fits to those before it.
type fit uint8

const (
	apart   fit = iota // it does not belong to them
	perhaps            // it does if a line that certainly does follows
	joined             // it does
)

// maxPerhaps is how many lines may wait for one that makes them part of a trace.
const maxPerhaps = 4

// maxBlanks is how many blank lines may lie within a trace, one after the other.
const maxBlanks = 2

// beginTrace is the state after the first line.
func beginTrace(line []byte) trace {
	inner, indented := indentation(line)
	switch {
	case hasPrefix(line, "panic: "), hasPrefix(line, "fatal error: "), hasPrefix(line, "unexpected fault address"),
		hasPrefix(line, "SIGQUIT: "), hasPrefix(line, "SIGABRT: "), hasPrefix(line, "runtime: goroutine stack exceeds"):
		return trace{at: afterPanic}
	case isGoroutine(line), indented && isGoPlace(inner):
		return trace{at: inGoroutines}
	case isTraceback(inner):
		return trace{at: belowTraceback(inner)}
	case indented && isFrame(inner):
		return trace{at: inFrames}
	case isNodeSource(line):
		return trace{at: afterSource}
	case bytes.Contains(line, []byte(":in `")), bytes.Contains(line, []byte(":in '")), isDotNetHead(line):
		return trace{at: afterHead}
	case isError(line):
		return trace{at: afterError}
	}
	return trace{at: afterText}
}

// blank takes in a blank line, and reports whether the trace can go on behind it.
func (t *trace) blank() bool {
	t.blanks++
	switch t.at {
	case afterPanic, inGoroutines, afterRaised, afterChained, afterCaret, inFrames, afterHead:
		return t.blanks <= maxBlanks
	}
	return false
}

// next takes in a line that is not blank. waiting is how many lines before it are in only perhaps.
func (t *trace) next(line []byte, waiting int) fit {
	inner, indented := indentation(line)
	blanks := t.blanks
	t.blanks = 0
	switch t.at {
	case afterText:
		if t.opens(line, inner, indented) {
			return joined
		}
		if !indented && isError(line) && !heads(line) {
			t.at = afterError
			return perhaps
		}
	case afterError, afterHead:
		if t.opens(line, inner, indented) {
			return joined
		}
		if waiting < maxPerhaps && (t.at == afterError && !isError(line) || indented) && !isDated(line) {
			return perhaps
		}
	case afterSource:
		t.at = afterCode
		return perhaps
	case afterCode:
		if isCaret(inner) {
			t.at = afterCaret
			return joined
		}
	case afterCaret:
		t.at = afterError
		return joined
	case inFrames:
		return t.frames(line, inner, indented, blanks)
	case inMembers:
		if line[0] == '}' {
			t.at = inFrames
			return joined
		}
		return when(indented)
	case afterPanic:
		switch {
		case isGoroutine(line), hasPrefix(line, "runtime stack:"):
			t.at = inGoroutines
			return joined
		case hasPrefix(line, "[signal "), hasPrefix(line, "[originating from "), hasPrefix(line, "PC="),
			blanks == 0 && (indented || hasPrefix(line, "panic: ") || hasPrefix(line, "fatal error: ") || hasPrefix(line, "runtime: ")):
			return joined
		}
	case inGoroutines:
		return t.goroutines(line, inner, indented, blanks)
	case inTraceback:
		if !indented && !isTraceback(line) {
			t.at = afterRaised
			return when(raised(line))
		}
		return joined
	case inGroup:
		if isChained(inner) {
			t.at = afterChained
			return joined
		}
		return when(indented && (inner[0] == '|' || inner[0] == '+') && !hasPrefix(inner, "+ Exception Group "))
	case afterRaised:
		if isChained(inner) {
			t.at = afterChained
			return joined
		}
		return when(blanks == 0 && indented)
	case afterChained:
		t.at = belowTraceback(inner)
		return when(isTraceback(inner))
	case inRuby:
		return when(indented && (isRubyCaller(inner) || hasPrefix(inner, "... ")))
	}
	return apart
}

func when(ok bool) fit {
	if ok {
		return joined
	}
	return apart
}

// opens reports whether a line is one that makes a trace of the line before it.
func (t *trace) opens(line, inner []byte, indented bool) bool {
	switch {
	case indented && (isFrame(inner) || hasPrefix(inner, "---> ")):
		t.at = t.braced(line)
	case isTraceback(inner):
		t.at = belowTraceback(inner)
	case isGoroutine(line):
		t.at = inGoroutines
	case indented && isGoPlace(inner):
		t.at = inGoroutines
	case indented && isRubyCaller(inner):
		t.at = inRuby
	default:
		return false
	}
	return true
}

// braced is where a frame leads to: an error of Node.js may go on with its members.
func (t *trace) braced(line []byte) place {
	if line[len(line)-1] == '{' {
		return inMembers
	}
	return inFrames
}

func (t *trace) frames(line, inner []byte, indented bool, blanks int) fit {
	switch {
	case hasPrefix(line, "Node.js v"):
		t.at = afterEnd
		return joined
	case blanks > 0:
		return apart
	case hasPrefix(inner, "Caused by: "), hasPrefix(inner, "Suppressed: "), hasPrefix(inner, "Wrapped by: "),
		hasPrefix(inner, "[CIRCULAR REFERENCE"):
		return joined
	case hasPrefix(inner, "--- End of "), hasPrefix(inner, "---> "):
		return joined
	case indented && hasPrefix(inner, "... "):
		return joined
	case indented && isFrame(inner):
		t.at = t.braced(line)
		return joined
	}
	return apart
}

func (t *trace) goroutines(line, inner []byte, indented bool, blanks int) fit {
	switch {
	case hasPrefix(line, "exit status "):
		t.at = afterEnd
		return joined
	case isGoroutine(line), hasPrefix(line, "runtime stack:"), hasPrefix(line, "[originating from "):
		return joined
	case isRegister(line):
		return joined
	case blanks > 0:
		return apart
	case indented && isGoPlace(inner), hasPrefix(line, "created by "), hasPrefix(line, "...") && bytes.HasSuffix(line, []byte("elided...")):
		return joined
	}
	return when(!indented && isGoCall(line))
}

// splitTrace parts the text of a trace into what happened and where. That is the first line and the others; but a Python
// traceback and a Go dump without a head, and what Node.js writes, begin with where: then what happened is found in the
// trace, which stays whole.
func splitTrace(text []byte) (message, stack []byte) {
	first, rest, _ := bytes.Cut(text, []byte{'\n'})
	switch beginTrace(first).at {
	case inGroup:
		return first, text
	case inTraceback:
		for line := range bytes.Lines(rest) { // the last exception of a chain is the one that was seen
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && line[0] > ' ' && raised(line) {
				first = line
			}
		}
		return first, text
	case afterSource:
		for line := range bytes.Lines(rest) {
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && isError(line) {
				return line, text
			}
		}
		return first, text
	case inFrames, inGoroutines:
		return first, text
	}
	return first, bytes.TrimLeft(rest, "\n")
}

// --- lines

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// indentation returns a line without the white space at its beginning, and whether there was any.
func indentation(line []byte) (inner []byte, indented bool) {
	inner = bytes.TrimLeft(line, " \t")
	return inner, len(inner) < len(line)
}

// isFrame: "at com.shop.Cart.add(Cart.java:10)", "at Shop.Cart.Add() in /src/Cart.cs:line 10", "at async /app/cart.js:1:2".
func isFrame(inner []byte) bool { return hasPrefix(inner, "at ") && bytes.ContainsAny(inner, "(:/<") }

// isTraceback: also of an exception group, "+ Exception Group Traceback (most recent call last):".
func isTraceback(inner []byte) bool {
	return bytes.HasSuffix(inner, []byte("Traceback (most recent call last):"))
}

func belowTraceback(inner []byte) place {
	if hasPrefix(inner, "+ ") {
		return inGroup
	}
	return inTraceback
}

func isChained(line []byte) bool {
	return hasPrefix(line, "During handling of the above exception, another exception occurred:") ||
		hasPrefix(line, "The above exception was the direct cause of the following exception:")
}

// isGoroutine: "goroutine 1 [running]:", "goroutine 7 gp=0xc0 m=1 [select, 2 minutes]:".
func isGoroutine(line []byte) bool {
	const word = "goroutine "
	return hasPrefix(line, word) && len(line) > len(word)+4 && isDigit(line[len(word)]) && line[len(line)-1] == ':' &&
		bytes.IndexByte(line, '[') > 0
}

// isGoPlace: "/src/main.go:12 +0x1d".
func isGoPlace(inner []byte) bool {
	if i := bytes.LastIndex(inner, []byte(" +0x")); i > 0 {
		inner = inner[:i]
	}
	i := bytes.LastIndexByte(inner, ':')
	return i > 2 && i+1 < len(inner) && digits(inner[i+1:]) && hasSuffixOf(inner[:i], ".go", ".s", "_cgo_gotypes.go")
}

func hasSuffixOf(b []byte, suffixes ...string) bool {
	for _, s := range suffixes {
		if len(b) > len(s) && string(b[len(b)-len(s):]) == s {
			return true
		}
	}
	return false
}

// isGoCall: "main.(*Cart).add(0xc000012345, {0x1, 0x2})".
func isGoCall(line []byte) bool {
	i := bytes.IndexByte(line, '(')
	return i > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:i], ' ') < 0 &&
		(bytes.IndexByte(line[:i], '.') > 0 || string(line[:i]) == "panic")
}

// isRegister: "rax    0x0".
func isRegister(line []byte) bool {
	i := bytes.IndexByte(line, ' ')
	return i >= 2 && i <= 7 && hasPrefix(bytes.TrimLeft(line[i:], " "), "0x")
}

// isNodeSource: "/app/cart.js:12", "file:///app/cart.mjs:12", "node:internal/process:12".
func isNodeSource(line []byte) bool {
	if line[0] != '/' && !hasPrefix(line, "file://") && !hasPrefix(line, "node:") {
		return false
	}
	i := bytes.LastIndexByte(line, ':')
	return i > 1 && i+1 < len(line) && digits(line[i+1:]) && bytes.IndexByte(line, ' ') < 0
}

func isCaret(inner []byte) bool {
	return len(inner) > 0 && len(bytes.Trim(inner, "^")) == 0
}

// isRubyCaller: "from app.rb:7:in `add'", and with the oldest first "2: from app.rb:7:in `add'".
func isRubyCaller(inner []byte) bool {
	if i := bytes.IndexByte(inner, ':'); i > 0 && i < 6 && digits(inner[:i]) {
		inner = bytes.TrimLeft(inner[i+1:], " ")
	}
	return hasPrefix(inner, "from ") && bytes.Contains(inner, []byte(":in "))
}

// raised: the name of a Python exception, alone or with what it says.
func raised(line []byte) bool {
	name := line
	if i := bytes.IndexByte(line, ':'); i >= 0 {
		name = line[:i]
	}
	return isName(name) && (severity(name, false) == "" || string(name) == "Error")
}

// isDotNetHead: "fail: Shop.Cart[13]".
func isDotNetHead(line []byte) bool {
	return line[len(line)-1] == ']' && (hasPrefix(line, "fail: ") || hasPrefix(line, "crit: ") || hasPrefix(line, "warn: "))
}

// isError: the name of an exception, "java.lang.IllegalStateException: …", "TypeError: …", "Foo::BarError: …"; alone only if
// it cannot be another word.
func isError(line []byte) bool {
	if heads(line) {
		return true
	}
	name, alone := line, true
	if i := bytes.Index(line, []byte(": ")); i >= 0 {
		name, alone = line[:i], false
	}
	name, _, _ = bytes.Cut(name, []byte(" [")) // Node.js: TypeError [ERR_X]: …
	if !isName(name) {
		return false
	}
	return hasSuffixOf(name, "Exception", "Error", "Throwable") || string(name) == "Error" || !alone && bytes.Count(name, []byte(".")) >= 2
}

// heads tells the lines before which no line belongs to the trace.
func heads(line []byte) bool {
	return hasPrefix(line, "Exception in thread ") || hasPrefix(line, "Unhandled exception. ") || hasPrefix(line, "Uncaught ")
}

// calm tells the lines of a log that say that nothing is wrong: no trace belongs to them.
func calm(line []byte) bool {
	switch textSeverity(line) {
	case "info", "debug", "trace":
		return true
	}
	return false
}

// isName: of a class, with its packages.
func isName(name []byte) bool {
	if len(name) == 0 || isDigit(name[0]) {
		return false
	}
	for _, c := range name {
		if !isLetter(c) && !isDigit(c) && c != '_' && c != '.' && c != '$' && c != ':' && c < 0x80 {
			return false
		}
	}
	return true
}

func isDated(line []byte) bool {
	_, ok := leadingTime(line)
	return ok
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}
