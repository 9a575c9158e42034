package ledger

import (
	"crypto/sha256"

	"github.com/truledgr/activity-agent/pipeline"
)

// A tree computes the Merkle tree hash of RFC 6962, section 2.1, over leaf hashes as they come. It keeps the roots of
// the full subtrees to the left, of which there are as many as one bits in the number of leaves.
type tree struct {
	n     uint64
	depth int
	roots [64]pipeline.Leaf
	pair  [1 + 2*sha256.Size]byte // 0x01, left, right
}

func (t *tree) reset() { t.n, t.depth = 0, 0 }

func (t *tree) add(leaf pipeline.Leaf) {
	for full := t.n; full&1 == 1; full >>= 1 {
		t.depth--
		leaf = t.node(t.roots[t.depth], leaf)
	}
	t.roots[t.depth] = leaf
	t.depth++
	t.n++
}

// root returns the hash over the leaves so far. That of no leaves is the SHA-256 of nothing.
func (t *tree) root() pipeline.Leaf {
	if t.n == 0 {
		return sha256.Sum256(nil)
	}
	h := t.roots[t.depth-1]
	for i := t.depth - 2; i >= 0; i-- {
		h = t.node(t.roots[i], h)
	}
	return h
}

func (t *tree) node(left, right pipeline.Leaf) pipeline.Leaf {
	t.pair[0] = 1
	copy(t.pair[1:], left[:])
	copy(t.pair[1+sha256.Size:], right[:])
	return sha256.Sum256(t.pair[:])
}
