package activity

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"
)

// StreamID names a stream: what one application writes into one log, however its files are renamed, copied or
// compressed. See agent/tail for how it is derived.
type StreamID [16]byte

// ChainID names an integrity chain: random, one per state directory.
type ChainID [16]byte

// AgentKey is the first half of SHA-256 of an agent's id; ids mix it in instead of the id, so that what is hashed
// per record fits one SHA-256 block.
type AgentKey [16]byte

// NewAgentKey derives the key of an agent's id.
func NewAgentKey(agentID string) AgentKey {
	sum := sha256.Sum256([]byte(agentID))
	return AgentKey(sum[:16])
}

// Domains keep ids of one construction apart from those of another.
const (
	positionDomain = 'p'
	sequenceDomain = 's'
)

// PositionID is the id of a record with a time of its own: the record's time and 80 bits of SHA-256 over the agent,
// the stream, and the offset and length of the record in decompressed bytes. It is the same however often the record is
// read, and since no content is in the hash it confirms no guess about a masked value.
func PositionID(t time.Time, agent AgentKey, stream StreamID, offset, length int64) ulid.ULID {
	return hashed(positionDomain, t, agent, [16]byte(stream), uint64(offset), uint64(length))
}

// SequenceID is the id of a record without a time of its own, which its place in the integrity chain names.
func SequenceID(t time.Time, agent AgentKey, chain ChainID, batch, seq uint64) ulid.ULID {
	return hashed(sequenceDomain, t, agent, [16]byte(chain), batch, seq)
}

// hashed fills 49 bytes, less than the 55 that one SHA-256 block takes.
func hashed(domain byte, t time.Time, agent AgentKey, scope [16]byte, a, b uint64) ulid.ULID {
	var in [49]byte
	in[0] = domain
	copy(in[1:], agent[:])
	copy(in[17:], scope[:])
	binary.BigEndian.PutUint64(in[33:], a)
	binary.BigEndian.PutUint64(in[41:], b)
	sum := sha256.Sum256(in[:])
	var id ulid.ULID
	// A time outside ULID's range (before 1970, or after the year 10889) cannot come here: the pipeline has moved it
	// into the accepted window.
	_ = id.SetTime(ulid.Timestamp(t))
	copy(id[6:], sum[:10])
	return id
}
