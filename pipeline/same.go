package pipeline

import (
	"bytes"
	"errors"

	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/internal/tape"
)

// SameActivity compares a document with the one that a store has under its id, as that was before it was amended, by all
// members but created_at, log and integrity, which differ between two deliveries of one activity, and so does an @timestamp
// that the sender did not give. It fails where one of them is not JSON.
func SameActivity(doc, stored []byte) (bool, error) {
	stored, err := amend.Original(stored)
	if err != nil {
		return false, err
	}
	var x, y tape.Tape
	if err := errors.Join(x.Parse(doc), y.Parse(stored)); err != nil {
		return false, err
	}
	taken := takenThen(&x) && takenThen(&y)
	return contains(&x, &y, taken) && contains(&y, &x, taken), nil
}

// takenThen reports whether a document's time is only that at which it was taken.
func takenThen(t *tape.Tape) bool {
	at, created := t.Member(0, "@timestamp"), t.Member(0, "created_at")
	return at != 0 && created != 0 && bytes.Equal(t.Raw(&t.Nodes[at]), t.Raw(&t.Nodes[created]))
}

// contains reports whether every member of x that counts is in y, with the same bytes. takenThen says that times do not.
func contains(x, y *tape.Tape, takenThen bool) bool {
	for j := uint32(1); j < x.Nodes[0].Next; j = x.Nodes[j].Next {
		n := &x.Nodes[j]
		name := string(x.Key(n))
		switch name {
		case "created_at", "log", "integrity":
			continue
		case "@timestamp":
			if takenThen {
				continue
			}
		}
		k := y.Member(0, name)
		if k == 0 || y.Nodes[k].Type != n.Type || !bytes.Equal(x.Raw(n), y.Raw(&y.Nodes[k])) {
			return false
		}
	}
	return true
}
