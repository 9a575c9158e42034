package activity

import (
	"encoding/json"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestChanged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, before, after string
		want                string // space-separated
	}{
		{"nothing", `{"a":1}`, `{"a":1}`, ""},
		{"one value", `{"a":1,"b":2}`, `{"a":1,"b":3}`, "b"},
		{"added and removed", `{"a":1}`, `{"b":1}`, "a b"},
		{"sorted", `{"z":1,"m":1,"a":1}`, `{"m":2,"a":2,"z":2}`, "a m z"},
		{"order of members", `{"a":1,"b":{"x":1,"y":2}}`, `{"b":{"y":2,"x":1},"a":1}`, ""},
		{"order of elements", `{"a":[1,2]}`, `{"a":[2,1]}`, "a"},
		{"white space", `{"a": [1, 2]}`, `{"a":[1,2]}`, ""},
		{"deep in an object", `{"a":{"b":{"c":1}}}`, `{"a":{"b":{"c":2}}}`, "a"},
		{"deep in an array", `{"a":[{"b":1}]}`, `{"a":[{"b":1,"c":null}]}`, "a"},
		{"numbers by value", `{"a":1.50,"b":100,"c":0,"d":1200}`, `{"a":1.5,"b":1e2,"c":-0.0,"d":0.12E+4}`, ""},
		{"numbers beyond a double", `{"a":9007199254740993}`, `{"a":9007199254740992}`, "a"},
		{"numbers beyond all bounds", `{"a":1e400,"b":1e99999999999}`, `{"a":10e399,"b":1e99999999998}`, "b"},
		{"signs", `{"a":-1}`, `{"a":1}`, "a"},
		{"types", `{"a":1,"b":true,"c":null,"d":{}}`, `{"a":"1","b":"true","c":false,"d":[]}`, "a b c d"},
		{"null is not absent", `{"a":null}`, `{}`, "a"},
		{"strings by characters", `{"a":"\u00e9\/"}`, `{"a":"é/"}`, ""},
		{"case of names", `{"a":1}`, `{"A":1}`, "A a"},
		{"a name twice", `{"a":1,"a":2}`, `{"a":2}`, ""},
		{"dots are not paths", `{"a.b":1}`, `{"a":{"b":1}}`, "a a.b"},
		{"insertion", ``, `{"a":1,"b":null}`, "a b"},
		{"deletion", `{"a":1}`, `null`, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range [][2]string{{tt.before, tt.after}, {tt.after, tt.before}} {
				got, err := Changed([]byte(order[0]), []byte(order[1]))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("Changed(%s, %s) = %v, want %q", order[0], order[1], got, tt.want)
				}
			}
		})
	}
}

func TestChangedRefusesWhatIsNoObjectWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`[1]`, `"hunter2"`, `1`, `true`, `{"a":hunter2}`, `{"a":1`, `{}{}`} {
		for _, pair := range [][2]string{{doc, `{}`}, {`{}`, doc}} {
			got, err := Changed([]byte(pair[0]), []byte(pair[1]))
			if err == nil {
				t.Errorf("Changed(%s, %s) = %v, want an error", pair[0], pair[1], got)
			} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "'h'") {
				t.Errorf("the error repeats the input: %v", err)
			}
		}
	}
}

// jsonValues draws values of few shapes, so that two of them are often equal. Numbers are whole, so that a float64
// compares them as exactly as Changed does.
func jsonValues(depth int) *rapid.Generator[any] {
	leaf := rapid.SampledFrom([]any{nil, true, false, "", "a", "é", 0.0, 1.0, -1.0, 1e9})
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(jsonValues(depth-1), 0, 2), func(v []any) any { return v }),
		rapid.Map(objects(depth-1), func(v map[string]any) any { return v }))
}

func objects(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), jsonValues(depth), 0, 3)
}

func TestChangedAgreesWithDeepEquality(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after := objects(2).Draw(t, "before"), objects(2).Draw(t, "after")
		var want []string
		for _, name := range []string{"a", "b", "c"} {
			a, inA := before[name]
			b, inB := after[name]
			if inA != inB || !reflect.DeepEqual(a, b) {
				want = append(want, name)
			}
		}
		got, err := Changed(marshal(t, before), marshal(t, after))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) || !sort.StringsAreSorted(got) {
			t.Errorf("Changed = %v, want %v", got, want)
		}
	})
}

func TestEveryNumberEqualsItselfWrittenOtherwise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`-?[1-9][0-9]{0,30}`).Draw(t, "digits")
		zeros := rapid.IntRange(0, 20).Draw(t, "zeros")
		long := digits + strings.Repeat("0", zeros) + ".000"
		short := digits + "e" + string(marshal(t, zeros))
		if !sameNumber(long, short) {
			t.Errorf("%s is not %s", long, short)
		}
		if sameNumber(long, digits+"e"+string(marshal(t, zeros+1))) {
			t.Errorf("%s is ten times itself", long)
		}
	})
}

func marshal(t interface{ Fatal(...any) }, v any) []byte {
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func FuzzChanged(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{}]}`), []byte(`{"a":1.0,"c":"\u0000"}`))
	f.Add([]byte(`{"a":1e5}`), []byte(`{"a":100000}`))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		there, err := Changed(before, after)
		if err != nil {
			return
		}
		back, err := Changed(after, before)
		if err != nil || !slices.Equal(there, back) {
			t.Errorf("one way %v, the other way %v, %v", there, back, err)
		}
		if self, err := Changed(before, before); err != nil || len(self) > 0 {
			t.Errorf("an object differs from itself in %v, %v", self, err)
		}
	})
}
