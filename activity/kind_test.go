package activity

import (
	"regexp"
	"strings"
	"testing"
)

// The kinds' numbers are in every ledger on disk.
func TestNumbersOfKindsNeverChange(t *testing.T) {
	t.Parallel()
	for want, k := range []Kind{NoKind, Plain, APITransaction, DataAccess, DataChange, AuthEvent, ExternalAPI, SystemEvent} {
		if int(k) != want {
			t.Errorf("%q is number %d, want %d", k, k, want)
		}
	}
}

func TestNamesOfKinds(t *testing.T) {
	t.Parallel()
	if got, want := len(Kinds()), int(kindCount)-1; got != want {
		t.Fatalf("%d kinds are listed, want %d", got, want)
	}
	family := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`) // part of an Elasticsearch index name
	for _, k := range Kinds() {
		if got := strings.ReplaceAll(k.String(), "_", "-"); got != k.Family() || !family.MatchString(got) {
			t.Errorf("%s has the index family %q", k, k.Family())
		}
		if !strings.HasPrefix(k.Route(), "/activities/") {
			t.Errorf("%s has the route %q", k, k.Route())
		}
		if !AllKinds.Has(k) {
			t.Errorf("AllKinds lacks %s", k)
		}
	}
	for _, k := range []Kind{NoKind, kindCount, 255} {
		if k.String() != "" || k.Family() != "" || k.Route() != "" {
			t.Errorf("kind %d has the names %q, %q, %q; want none", k, k.String(), k.Family(), k.Route())
		}
	}
	if AllKinds.Has(NoKind) {
		t.Error("no kind is one of all kinds")
	}
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		want Kind
	}{
		{"activity", Plain},
		{"api_transaction", APITransaction},
		{"API-Transaction", APITransaction},
		{"data_access", DataAccess},
		{"DATA_CHANGE", DataChange},
		{"auth-event", AuthEvent},
		{"external_api", ExternalAPI},
		{"system_event", SystemEvent},
		{"", NoKind},
		{"activities", NoKind},
		{"authevent", NoKind},
		{"auth event", NoKind},
		{"auth_event ", NoKind},
		{"event", NoKind},
	} {
		if got, ok := ParseKind([]byte(tt.name)); got != tt.want || ok != (tt.want != NoKind) {
			t.Errorf("ParseKind(%q) = %v, %v; want %v", tt.name, got, ok, tt.want)
		}
	}
}

func TestParseKindAllocatesNothing(t *testing.T) {
	name := []byte("system_event")
	if n := testing.AllocsPerRun(100, func() { ParseKind(name) }); n != 0 {
		t.Errorf("ParseKind allocates %v times, want 0", n)
	}
}

func TestKindSet(t *testing.T) {
	t.Parallel()
	s := Of(DataAccess, SystemEvent)
	for _, k := range Kinds() {
		if got, want := s.Has(k), k == DataAccess || k == SystemEvent; got != want {
			t.Errorf("the set of data access and system events has %s: %v, want %v", k, got, want)
		}
	}
}
