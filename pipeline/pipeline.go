package pipeline

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/pipeline/redact"
	"github.com/truledgr/activity-agent/pipeline/rule"
)

// Origin is what the agent knows of where it runs; documents say it where lines do not. Empty strings are left out.
type Origin struct {
	ServiceName, ServiceVersion, ServiceEnvironment string
	HostName                                        string
	Namespace, PodName, PodUID, NodeName, Container string // Kubernetes
}

// Options make a Pipeline.
type Options struct {
	Config  Config
	Model   *activity.Model // the kinds and fields there are; nil for the built-in ones
	AgentID string
	Chain   activity.ChainID
	Origin  Origin
	Version string // of the program, for the fingerprint
	// Keep is how long activities are kept, by activity.Kind; what is missing or 0 is for ever. A record's own time that is
	// older is not accepted.
	Keep []time.Duration

	// Explain, if set, is told of every redaction of the record that is encoded under the number i of its batch.
	Explain func(i int, r Redaction)
}

// A Redaction is one place where something was removed, and why.
type Redaction struct {
	Path     string // "request_data.items.0.code"
	Detector string
	Rule     string // what in the configuration asked for it: "built-in names", "detect", "fields", "rules[2]", …
}

// The accepted window of a record's own time, around the batch's.
const (
	acceptPast   = 400 * 24 * time.Hour
	acceptFuture = time.Hour
)

// Reasons of records that are not delivered.
const (
	ReasonNonJSON = "non_json"    // the line is not JSON, and files[].non_json says not to keep it
	ReasonBlank   = "blank"       // an envelope around nothing
	ReasonPanic   = "panic"       // a bug here; the record is set aside and the batch goes on
	ReasonGone    = "source_gone" // replay: the bytes of the intent are no longer to be found
	ReasonInvalid = "invalid"     // of a strict stream: Batch.Problems says why
)

// A Pipeline converts batches. It holds the scratch memory of one conversion: one goroutine at a time.
type Pipeline struct {
	model       *activity.Model
	lenses      [activity.MaxKinds]*lens
	agent       activity.AgentKey
	chain       activity.ChainID
	explain     func(int, Redaction)
	fingerprint [16]byte
	constant    constants
	keep        []time.Duration

	stamps stampCache
	pathOf *Stream // whose path is in path, escaped
	path   []byte

	now     int64  // of the batch, Unix nanoseconds
	created []byte // `,"created_at":"…"` of the batch

	conventions []wanted
	rules       []rule.Rule
	machine     rule.Machine

	rec    draft
	phrase phrase
	vals   writer
}

// draft is the scratch memory of the record under way.
type draft struct {
	rules   *redact.Rules
	tape    tape.Tape
	scratch []byte // unwrapped, joined or repaired content
	reading reading
	fields  [activity.MaxFields]uint32 // node of each field; 0 is none
	filled  roleSet                    // the built-in fields that have one
	timed   uint32                     // node that the record's own time was read from, and what it says
	timeIs  int64
	flags   recordFlags
	rule    *rule.Rule // of the user; nil for none
	outcome string
	stream  string // stdout or stderr, of an envelope
	content []byte
}

type recordFlags struct {
	text        bool // not JSON: content is plain text
	trace       bool // several lines of it: a stack trace
	badTime     bool // had a time that could not be used
	invalidUTF8 bool
	truncated   bool
	pair        bool // a member says that another one is a secret
}

// New makes a pipeline. It fails where the configuration's redaction rules do not compile.
func New(o Options) (*Pipeline, error) {
	if n := len(o.Model.CustomNames()); n > int(activity.MaxKinds-activity.FirstCustom) {
		return nil, fmt.Errorf("there are %d kinds of the configuration's own; there can be %d", n, activity.MaxKinds-activity.FirstCustom)
	}
	policy, err := redact.Compile(o.Config.Redact, o.Model)
	if err != nil {
		return nil, fmt.Errorf("pipeline.redact: %w", err)
	}
	rules, err := rule.CompileAll(o.Config.Classify, o.Model)
	if err != nil {
		return nil, fmt.Errorf("pipeline.classify: %w", err)
	}
	p := &Pipeline{
		model:   o.Model,
		lenses:  lenses(policy, o.Model),
		agent:   activity.NewAgentKey(o.AgentID),
		chain:   o.Chain,
		explain: o.Explain,
		keep:    o.Keep,

		conventions: wantedConventions(),
		rules:       rules,
	}
	o.Config.Redact.HashKey = "" // a hash of it would allow guesses
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%#v\x00%v%s", o.Version, o.Config, o.Keep, o.Model.Fingerprint()))
	copy(p.fingerprint[:], sum[:])
	p.constant = newConstants(o.Origin, o.Chain, o.Model)
	p.rec.rules = policy.For(activity.Plain)
	return p, nil
}

// lenses makes one lens for all kinds that share their rules.
func lenses(policy *redact.Policy, m *activity.Model) (byKind [activity.MaxKinds]*lens) {
	byRules := map[*redact.Rules]*lens{}
	for _, k := range m.Kinds() {
		rules := policy.For(k)
		if byRules[rules] == nil {
			byRules[rules] = newLens(rules, m)
		}
		byKind[k] = byRules[rules]
	}
	return byKind
}

// Fingerprint names the configuration and version that decisions were made under.
func (p *Pipeline) Fingerprint() [16]byte { return p.fingerprint }

// Process makes b, which it resets, of the records in raw: batch number in the chain, taken at the given time. Where
// raw is a replay, the decisions of its intent are obeyed: records, times, kinds and ids come out the same, and only
// redaction is today's. raw is not kept.
func (p *Pipeline) Process(raw *Raw, number uint64, at time.Time, b *Batch) {
	b.Reset()
	b.Number, b.Time, b.Model, b.agent, b.chain = number, at, p.model, p.agent, p.chain
	b.Ranges = append(b.Ranges, raw.Ranges...)
	b.Pieces = append(b.Pieces, raw.Pieces...)
	// Growing by and by would leave several times as much behind for the garbage collector.
	b.Records, b.buf = slices.Grow(b.Records, len(raw.Cuts)), slices.Grow(b.buf, 2*len(raw.Buf))
	p.now, p.pathOf = at.UnixNano(), nil
	p.created = append(appendTime(append(p.created[:0], `,"created_at":"`...), at.UnixNano()), '"')
	p.vals.counts = &b.Redactions
	for i, cut := range raw.Cuts {
		b.Records = append(b.Records, Record{Cut: cut, Seq: i})
		rec := &b.Records[i]
		if raw.Seqs != nil {
			rec.Seq = raw.Seqs[i]
		}
		if raw.Replay != nil {
			rec.Decision = raw.Replay[i]
			rec.Leaf = Leaf{}
			if rec.Fate != Deliver {
				continue
			}
		}
		lo := len(b.buf)
		p.convertSafely(raw, b, i)
		if raw.Doubt != nil && raw.Doubt[i] && rec.Leaf != raw.Replay[i].Leaf {
			rec.Fate, rec.Reason, rec.Leaf = Lost, ReasonGone, Leaf{}
		}
		if rec.Fate != Deliver {
			b.buf = b.buf[:lo]
		}
	}
}

// convertSafely turns a panic, which is a bug of ours, into a dead letter, so that one line cannot stop the others. The
// panic's value is not shown: it may quote the line. Nor are arguments: the trace is names and lines of the source.
func (p *Pipeline) convertSafely(raw *Raw, b *Batch, i int) {
	defer func() {
		if recover() != nil {
			b.Records[i].Fate, b.Records[i].Reason = DeadLetter, ReasonPanic
			if b.Panics++; b.Panics == 1 {
				b.PanicAt = panicPlace()
			}
		}
	}()
	p.convert(raw, b, i)
}

// panicPlace says where the panic that is being recovered came from: the innermost functions of ours first.
func panicPlace() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])]) // above are Callers, this and the deferred function
	var places []string
	for more := true; more && len(places) < 6; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			places = append(places, fmt.Sprintf("%s (%s:%d)", path.Base(f.Function), path.Base(f.File), f.Line))
		}
	}
	return strings.Join(places, " < ")
}

// convert is the way of one record.
func (p *Pipeline) convert(raw *Raw, b *Batch, i int) {
	r, rec := &p.rec, &b.Records[i]
	replayed := raw.Replay != nil
	p.decode(raw, rec.Cut)
	stream := raw.Ranges[rec.Range].Stream
	if !replayed {
		if len(r.content) == 0 && !stream.Strict {
			rec.Fate, rec.Reason = Drop, ReasonBlank
			return
		}
		if r.flags.text && stream.NonJSON != KeepText {
			rec.Fate, rec.Reason = Drop, ReasonNonJSON
			if stream.NonJSON == DeadLetterText {
				rec.Fate = DeadLetter
			}
			return
		}
	}
	kind, by := p.classify()
	if stream.Kind != activity.NoKind {
		kind, by = stream.Kind, "route"
	}
	if stream.Strict && !p.check(b, i, kind) {
		rec.Fate, rec.Reason = DeadLetter, ReasonInvalid
		return
	}
	if r.rule = p.ruleFor(kind, stream); r.rule != nil {
		if r.rule.Drop && !replayed {
			rec.Fate, rec.Reason = Drop, r.rule.Name
			return
		}
		if r.rule.Kind != activity.NoKind {
			kind = r.rule.Kind
		}
		by = r.rule.By
	}
	decided := rec.Decision
	rec.Kind = kind
	p.stamp(rec, stream.TrustIDs)
	if replayed {
		rec.Decision = decided
	}
	p.takeTime(rec)
	p.identify(b, i)
	if r.rule != nil && !replayed && r.rule.Leaves(rec.ID) {
		rec.Fate, rec.Reason = Drop, r.rule.Name
		return
	}
	p.complete(rec.Kind)
	p.encode(b, i, by, stream)
}

// ruleFor returns the first rule of the user that is for the record; nil for none.
func (p *Pipeline) ruleFor(kind activity.Kind, stream *Stream) *rule.Rule {
	if len(p.rules) == 0 {
		return nil
	}
	r := &p.rec
	s := rule.Subject{Kind: p.model.KindName(kind), File: stream.Path}
	switch {
	case r.flags.text:
		s.Text = r.content
	case r.tape.Nodes[0].Type == tape.Object:
		s.Tape = &r.tape
	}
	for i := range p.rules {
		if p.machine.Holds(p.rules[i].When, &s) {
			return &p.rules[i]
		}
	}
	return nil
}

// stamp decides the record's time: its own, if it has one in the accepted window; or that in the id that it was given, so
// that giving it again makes the same document; or else the batch's.
func (p *Pipeline) stamp(rec *Record, trustIDs bool) {
	rec.Time = p.now
	t, ok := p.ownTime()
	if ok && !p.accepts(rec.Kind, t) {
		p.rec.flags.badTime, ok = true, false
	}
	if !ok && trustIDs {
		var id ulid.ULID
		if id, ok = p.givenID(); ok {
			t = int64(id.Time()) * int64(time.Millisecond)
			ok = id.Time() < math.MaxInt64/uint64(time.Millisecond) && p.accepts(rec.Kind, t)
		}
	}
	if ok {
		rec.Time, rec.Dated = t, true
	}
}

// accepts reports whether a record of the batch may have happened at t: what is not kept for so long would be deleted next.
func (p *Pipeline) accepts(k activity.Kind, t int64) bool {
	past := acceptPast
	if int(k) < len(p.keep) && p.keep[k] > 0 {
		past = min(past, p.keep[k])
	}
	return t >= p.now-int64(past) && t <= p.now+int64(acceptFuture)
}

// identify gives the record its id.
func (p *Pipeline) identify(b *Batch, i int) {
	rec := &b.Records[i]
	if b.Ranges[rec.Range].Stream.TrustIDs {
		if rec.ID, rec.Trusted = p.givenID(); rec.Trusted {
			return
		}
	}
	rec.ID = ownID(b, i)
}

// ownID derives the id of record i: from its position if its time will be the same at every reading, or else from its
// place in the chain.
func ownID(b *Batch, i int) ulid.ULID {
	rec := &b.Records[i]
	t := time.Unix(0, rec.Time)
	if len(b.Ranges) == 0 || !rec.Dated && !b.Ranges[rec.Range].Stream.Journaled { // tests restore batches without ranges
		return activity.SequenceID(t, b.agent, b.chain, b.Number, uint64(rec.Seq))
	}
	offset, length := position(b.Pieces, rec.Cut)
	return activity.PositionID(t, b.agent, b.Ranges[rec.Range].Stream.ID, offset, length)
}

// givenID returns the line's own id, if it is a ULID.
func (p *Pipeline) givenID() (ulid.ULID, bool) {
	r := &p.rec
	n := r.reading.nodes[role(activity.ID)]
	if n == 0 || r.tape.Nodes[n].Type != tape.String {
		return ulid.ULID{}, false
	}
	id, err := ulid.ParseStrict(string(r.tape.Raw(&r.tape.Nodes[n])))
	if err == nil {
		r.tape.Nodes[n].Flags |= tape.Taken
	}
	return id, err == nil
}

// EncodeChain writes a chain id as documents carry it.
func EncodeChain(c activity.ChainID) string { return base64.RawURLEncoding.EncodeToString(c[:]) }
