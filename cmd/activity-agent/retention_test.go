package main

import (
	"strings"
	"testing"
	"time"
)

// TestRetentionBoundsTheTimesThatAreTaken: of what would be deleted at once, run and test agree that it is of now.
func TestRetentionBoundsTheTimesThatAreTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "retention: {default: forever, auth_event: 30d}")
	happened := time.Now().UTC().AddDate(0, 0, -40).Format(time.RFC3339)
	line := func(kind string) string { return `{"kind":"` + kind + `","timestamp":"` + happened + `","seq":0}` }
	s.append(line("auth_event")+"%.0d", 0, 1)
	s.append(line("data_change")+"%.0d", 0, 1)
	if a := s.runToEnd(); a.Stored != 2 {
		t.Fatalf("got %+v", a)
	}
	own := `"@timestamp":"` + happened + `"`
	s.documents(func(doc []byte) {
		if text := string(doc); strings.Contains(text, own) == strings.Contains(text, `"kind":"auth_event"`) {
			t.Errorf("got %s", text)
		}
	})
	for kind, kept := range map[string]bool{"auth_event": false, "data_change": true} {
		code, out, stderr := call(t, line(kind)+"\n", "test", "-c", s.config, "--json", "-")
		if code != exitDone || strings.Contains(out, own) != kept {
			t.Errorf("%s: got %d, %s%s", kind, code, out, stderr)
		}
	}
}
