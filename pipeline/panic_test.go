package pipeline

import (
	"bytes"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
)

// TestAPanicShowsNothingOfItsRecord provokes panics with a record's text in them, while the record is being encoded. Its
// letter has no bytes, the place is named, and the records around come out as if nothing had been.
func TestAPanicShowsNothingOfItsRecord(t *testing.T) {
	t.Parallel()
	const text = `{"msg":"one","a":"{\"password\":\"hunter2\"}","n":{"token":"swordfish"}}
{"msg":"swordfish","a":"{\"b\":[\"{\\\"password\\\":\\\"swordfish\\\"}\"]}","mail":"swordfish@example.com"}
{"msg":"three","a":"{\"b\":{\"c\":\"ann@example.com\"}}"}
`
	var want, got Batch
	newPipeline(t, DefaultConfig()).Process(cutLines(t, text, &Stream{Path: "/var/log/app.log"}), 7, testTime, &want)
	p, err := New(Options{
		Config: DefaultConfig(), AgentID: "test", Chain: activity.ChainID{1}, Version: "test", Origin: Origin{ServiceName: "shop", HostName: "h1"},
		Explain: func(i int, _ Redaction) {
			if i == 1 {
				panic("cannot encode " + text)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what a panic leaves behind does no harm either
		p.Process(cutLines(t, text, &Stream{Path: "/var/log/app.log"}), 7, testTime, &got)
	}
	for i := range got.Records {
		r := &got.Records[i]
		switch {
		case i == 1 && (r.Fate != DeadLetter || r.Reason != ReasonPanic || got.Doc(i) != nil):
			t.Errorf("the record became %v %q with %q", r.Fate, r.Reason, got.Doc(i))
		case i != 1 && !bytes.Equal(got.Doc(i), want.Doc(i)):
			t.Errorf("record %d is\n%s\nand without a panic\n%s", i, got.Doc(i), want.Doc(i))
		}
	}
	if got.Panics != 1 || strings.Contains(got.PanicAt, "swordfish") || !strings.Contains(got.PanicAt, "pipeline.(*Pipeline).encode (encode.go:") {
		t.Errorf("%d panics at %q", got.Panics, got.PanicAt)
	}
	if bytes.Contains(got.buf, []byte("swordfish")) {
		t.Error("bytes of the record are left")
	}
}

func TestSecretsInShortNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"182-38-6510", "a@b.example.org"} {
		docs, b := process(t, DefaultConfig(), `{"msg":"x","n":{"`+name+`":1}}`+"\n")
		if strings.Contains(string(b.Doc(0)), name) {
			t.Errorf("%v", docs[0])
		}
	}
}
