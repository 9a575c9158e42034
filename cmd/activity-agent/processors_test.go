package main

import "testing"

func TestOneProcessorIsForLittleWork(t *testing.T) {
	t.Parallel()
	var p pacer
	for i, step := range []struct {
		use     float64
		changed bool
		one     bool
	}{
		{1.7, false, false},
		{0.01, false, false},
		{0.01, false, false},
		{0.3, false, false}, // it did not last
		{0.01, false, false},
		{0.2, false, false},
		{0.01, true, true},
		{0.45, false, true}, // between the two, what is stays
		{0.01, false, true},
		{0.9, true, false},
		{0.4, false, false},
	} {
		if changed := p.look(step.use); changed != step.changed || p.one != step.one {
			t.Errorf("look %d, %v used: changed %t, one %t", i, step.use, changed, p.one)
		}
	}
}
