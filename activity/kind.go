package activity

// Kind says what sort of event an activity is. The zero Kind is no kind.
type Kind uint8

// The kinds. Their order is part of the ledger's on-disk format: append only.
const (
	NoKind Kind = iota
	Plain
	APITransaction
	DataAccess
	DataChange
	AuthEvent
	ExternalAPI
	SystemEvent

	kindCount
)

// kinds holds a kind's three names: in documents, in index names, and in the read API's routes.
var kinds = [kindCount]struct{ name, family, route string }{
	Plain:          {"activity", "activity", "/activities/?kind=activity"},
	APITransaction: {"api_transaction", "api-transaction", "/activities/api-transactions/"},
	DataAccess:     {"data_access", "data-access", "/activities/data-access/"},
	DataChange:     {"data_change", "data-change", "/activities/data-changes/"},
	AuthEvent:      {"auth_event", "auth-event", "/activities/auth-events/"},
	ExternalAPI:    {"external_api", "external-api", "/activities/external-api/"},
	SystemEvent:    {"system_event", "system-event", "/activities/system-events/"},
}

// Kinds lists every kind in the order of the documentation.
func Kinds() []Kind {
	return []Kind{Plain, APITransaction, DataAccess, DataChange, AuthEvent, ExternalAPI, SystemEvent}
}

// String returns the kind's name as documents carry it ("api_transaction"), or "" for no kind.
func (k Kind) String() string {
	if k >= kindCount {
		return ""
	}
	return kinds[k].name
}

// Family returns the kind's part of an index name ("api-transaction").
func (k Kind) Family() string {
	if k >= kindCount {
		return ""
	}
	return kinds[k].family
}

// Route returns the read API's route of the kind.
func (k Kind) Route() string {
	if k >= kindCount {
		return ""
	}
	return kinds[k].route
}

// ParseKind finds the kind of a name. Case, and the choice of "-" or "_", make no difference.
func ParseKind(name []byte) (Kind, bool) {
	for k := Plain; k < kindCount; k++ {
		if sameName(name, kinds[k].name) {
			return k, true
		}
	}
	return NoKind, false
}

// sameName compares without allocating; want is lower case with underscores.
func sameName(got []byte, want string) bool {
	if len(got) != len(want) {
		return false
	}
	for i, c := range got {
		switch {
		case c == '-':
			c = '_'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// KindSet is a set of kinds below MaxKinds.
type KindSet uint32

// Of makes a set of kinds.
func Of(ks ...Kind) KindSet {
	var s KindSet
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in the set. Every kind is in AllKinds.
func (s KindSet) Has(k Kind) bool { return s&(1<<k) != 0 || s == AllKinds && k != NoKind }
