package elasticsearch

import (
	"strconv"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// A target is where documents go. A replay has the target of its intent, so that a changed configuration cannot put a
// record into a second index.
type target struct {
	model   *activity.Model // what numbers the kinds
	prefix  string
	periods []string // by activity.Kind; what is missing or "" is a month
}

// appendIndex appends the name of the index for a kind and a time in Unix nanoseconds:
// activities-auth-event-2026.11, -2026.11.23 for a day, -2026.w47 for a week of ISO 8601. Nothing that a log holds has a
// part in it.
func (t target) appendIndex(dst []byte, k activity.Kind, ns int64) []byte {
	dst = append(append(append(append(dst, t.prefix...), '-'), t.model.Family(k)...), '-')
	period := ""
	if int(k) < len(t.periods) {
		period = t.periods[k]
	}
	return appendPeriod(dst, period, time.Unix(0, ns).UTC())
}

// appendPeriod appends the period that at, in UTC, is in, as index names end with it.
func appendPeriod(dst []byte, period string, at time.Time) []byte {
	if period == "week" {
		year, week := at.ISOWeek()
		dst = append(strconv.AppendInt(dst, int64(year), 10), ".w"...)
		return appendTwo(dst, week)
	}
	dst = append(strconv.AppendInt(dst, int64(at.Year()), 10), '.')
	dst = appendTwo(dst, int(at.Month()))
	if period == "day" {
		dst = appendTwo(append(dst, '.'), at.Day())
	}
	return dst
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// names caches the index names of a batch: its records are mostly of one day.
type names [activity.MaxKinds]struct {
	kind  activity.Kind
	day   int64 // since 1970, plus one; 0 is empty
	lower []byte
}

func (n *names) of(t target, k activity.Kind, ns int64) []byte {
	const dayLength = int64(24 * time.Hour)
	day := ns / dayLength
	if ns < 0 {
		day-- // in which case the name is made again each time near 1970; no record is that old
	}
	e := &n[k%activity.MaxKinds]
	if e.day != day+1 || e.day == 0 || e.kind != k {
		e.kind, e.day, e.lower = k, day+1, t.appendIndex(e.lower[:0], k, ns)
	}
	return e.lower
}
