package activity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func model(t *testing.T, kinds ...KindConfig) *Model {
	t.Helper()
	m, err := NewModel(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var (
	payment = KindConfig{Name: "payment", Route: "payments", Retention: "400d", Fields: []FieldConfig{
		{Name: "amount", Type: "double"}, {Name: "currency", Type: "keyword", Values: []string{"EUR", "USD"}}, {Name: "method", Type: "keyword"},
	}}
	refund = KindConfig{Name: "payment_refund", Fields: []FieldConfig{{Name: "amount", Type: "double"}, {Name: "attempts", Type: "long"}}}
)

func TestDeclaredKindsFollowTheBuiltInOnes(t *testing.T) {
	t.Parallel()
	m := model(t, payment, refund)
	if got := m.Kinds(); !slices.Equal(got, append(Kinds(), FirstCustom, FirstCustom+1)) {
		t.Errorf("kinds %v", got)
	}
	for _, name := range []string{"payment_refund", "Payment-Refund"} {
		if k, ok := m.ParseKind([]byte(name)); !ok || k != FirstCustom+1 || m.Family(k) != "payment-refund" || m.Route(k) != "/activities/payment-refund/" {
			t.Errorf("%s: %d, %s, %s", name, k, m.Family(k), m.Route(k))
		}
	}
	if (*Model)(nil).KindName(FirstCustom) != "" || m.KindName(FirstCustom) != "payment" || m.KindName(AuthEvent) != "auth_event" {
		t.Error("names of kinds")
	}
	amount, ok := m.FieldNamed("amount", FirstCustom)
	if !ok || amount < FieldCount || !m.In(amount, FirstCustom) || !m.In(amount, FirstCustom+1) || m.In(amount, AuthEvent) || amount.Name() != "" {
		t.Errorf("amount is field %d", amount)
	}
	if !m.In(Method, FirstCustom) || m.In(Method, FirstCustom+1) || !m.In(UserID, FirstCustom) || m.In(Severity, FirstCustom) || Method.In(FirstCustom) {
		t.Error("which built-in fields a declared kind has")
	}
	if m.RouteWord(AuthEvent) != "" || m.Retention(FirstCustom) != "400d" || m.Retention(FirstCustom+1) != "" {
		t.Error("route or retention")
	}
}

func TestTheModelOfAnEarlierConfiguration(t *testing.T) {
	t.Parallel()
	m := model(t, payment, refund)
	if m.Under([]string{"payment"}) != m || m.Under(nil) != m || (*Model)(nil).Under(nil) != nil {
		t.Error("numbers that are the same need another model")
	}
	then := m.Under([]string{"payment_refund", "gone", "payment"})
	if got := then.CustomNames(); !slices.Equal(got, []string{"payment_refund", "gone", "payment"}) {
		t.Errorf("names %v", got)
	}
	attempts, _ := then.FieldNamed("attempts", NoKind)
	if !then.In(attempts, FirstCustom) || then.In(attempts, FirstCustom+1) || then.In(attempts, FirstCustom+2) {
		t.Error("a field is not with its kind")
	}
	if !then.In(Method, FirstCustom+2) || then.In(Method, FirstCustom) || !then.In(UserID, FirstCustom+1) || then.Family(FirstCustom+1) != "gone" {
		t.Error("built-in fields, or the kind that is gone")
	}
	if now := m.Under([]string{"gone"}); !slices.Equal(now.CustomNames(), []string{"gone", "payment", "payment_refund"}) {
		t.Errorf("what is declared now is missing: %v", now.CustomNames())
	}
	if m.KindName(FirstCustom) != "payment" || !m.In(attempts, FirstCustom+1) {
		t.Error("the model has changed")
	}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprint("k", i))
	}
	if last := m.Under(many); !last.In(UserID, FirstCustom+39) || last.In(Method, FirstCustom+39) {
		t.Error("a kind beyond those of a set")
	}
}

func TestValidateKnowsDeclaredKinds(t *testing.T) {
	t.Parallel()
	m := model(t, payment, refund)
	doc := func(kind, more string) []byte {
		return fmt.Appendf(nil, `{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","@timestamp":"2026-11-20T10:00:00Z","kind":%q,"activity_type":"x","created_at":"2026-11-20T10:00:00Z"%s}`, kind, more)
	}
	for more, want := range map[string]string{
		`,"amount":1.5,"currency":"EUR","method":"POST"`: "",
		`,"amount":"1.5"`:   "/amount is no number",
		`,"currency":"GBP"`: "is none of EUR, USD",
		`,"attempts":1`:     "is no field of the kind payment",
	} {
		if err := m.Validate(doc("payment", more)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", more, err, want)
		}
	}
	if err := m.Validate(doc("nothing", "")); err == nil || !strings.Contains(err.Error(), "payment_refund") {
		t.Errorf("another kind: %v", err)
	}
	if schema := string(m.ResponseSchema(FirstCustom)); !strings.Contains(schema, `"currency"`) || strings.Contains(schema, `"attempts"`) {
		t.Errorf("schema: %s", schema)
	}
	if err := Validate(doc("payment", "")); err == nil {
		t.Error("the built-in kinds have one of another model")
	}
}

func TestThereCanBeEightKindsAnd64Fields(t *testing.T) {
	t.Parallel()
	var kinds []KindConfig
	for i := range MaxCustomKinds {
		kinds = append(kinds, KindConfig{Name: fmt.Sprint("k", i)})
		for j := range int(MaxCustomFields) / MaxCustomKinds {
			kinds[i].Fields = append(kinds[i].Fields, FieldConfig{Name: fmt.Sprintf("f%d_%d", i, j), Type: "long"})
		}
	}
	if m := model(t, kinds...); m.FieldCount() != MaxFields {
		t.Errorf("%d fields", m.FieldCount())
	}
	kinds[0].Fields = append(kinds[0].Fields, FieldConfig{Name: "more", Type: "long"})
	if _, err := NewModel(append(kinds, KindConfig{Name: "more"})); err == nil || !strings.Contains(err.Error(), "64 fields") || !strings.Contains(err.Error(), "8 kinds") {
		t.Errorf("more: %v", err)
	}
}
