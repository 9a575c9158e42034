package pipeline

import (
	"bytes"
	"errors"

	"github.com/truledgr/activity-agent/internal/tape"
)

// SameActivity compares two documents by all members but created_at, log and integrity, which differ between two
// deliveries of one activity. It fails where one of them is not JSON.
func SameActivity(a, b []byte) (bool, error) {
	var x, y tape.Tape
	if err := errors.Join(x.Parse(a), y.Parse(b)); err != nil {
		return false, err
	}
	return contains(&x, &y) && contains(&y, &x), nil
}

// contains reports whether every member of x that counts is in y, with the same bytes.
func contains(x, y *tape.Tape) bool {
	for j := uint32(1); j < x.Nodes[0].Next; j = x.Nodes[j].Next {
		n := &x.Nodes[j]
		name := string(x.Key(n))
		switch name {
		case "created_at", "log", "integrity":
			continue
		}
		k := y.Member(0, name)
		if k == 0 || y.Nodes[k].Type != n.Type || !bytes.Equal(x.Raw(n), y.Raw(&y.Nodes[k])) {
			return false
		}
	}
	return true
}
