package pipeline

import (
	"math"
	"strconv"
	"time"
	"unsafe"
)

// parseTime reads a time as loggers write it: ISO 8601 with date and time of day (RFC 3339 and its common relaxations: a
// blank for the T, a comma for the point, an offset without colon or none at all, which is read as UTC), or the seconds,
// milliseconds, microseconds or nanoseconds since 1970, told apart by magnitude; or as web servers do, "23/Nov/2026:12:00:00 +0000",
// and mail and HTTP, "Mon, 23 Nov 2026 12:00:00 GMT". It returns Unix nanoseconds.
func parseTime(b []byte) (int64, bool) {
	switch {
	case len(b) >= 19 && (b[4] == '-' || b[4] == '/'):
		return parseISO(b)
	case len(b) >= 20 && b[2] == '/' && b[6] == '/' && b[11] == ':':
		return parseNamed(b[:11], b[12:])
	case len(b) >= 25 && b[3] == ',' && b[4] == ' ' && b[16] == ' ':
		return parseNamed(b[5:16], b[17:])
	}
	return parseEpoch(b)
}

// parseNamed reads a date with the name of the month, "23/Nov/2026" or "23 Nov 2026", and a time of day.
func parseNamed(date, clock []byte) (int64, bool) {
	month := monthNamed(date[3:6])
	if month == 0 || date[2] != date[6] {
		return 0, false
	}
	iso := [64]byte{10: 'T'}
	copy(iso[:], date[7:11])
	iso[4], iso[5], iso[6], iso[7] = '-', byte('0'+month/10), byte('0'+month%10), '-'
	copy(iso[8:], date[:2])
	n := copy(iso[11:], clock)
	return parseISO(iso[:11+n])
}

// monthNamed knows the English short names; 0 for anything else.
func monthNamed(name []byte) int {
	const all = "janfebmaraprmayjunjulaugsepoctnovdec"
	for i := 0; i < len(all); i += 3 {
		if equalFold(name, all[i:i+3]) {
			return i/3 + 1
		}
	}
	return 0
}

func parseISO(b []byte) (int64, bool) {
	year, ok1 := digits4(b)
	month, ok2 := digits2(b[5:])
	day, ok3 := digits2(b[8:])
	hour, ok4 := digits2(b[11:])
	minute, ok5 := digits2(b[14:])
	sec, ok6 := digits2(b[17:])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || b[7] != b[4] || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	if b[10] != 'T' && b[10] != ' ' && b[10] != 't' || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || sec > 60 {
		return 0, false
	}
	rest := b[19:]
	nanos, rest := fraction(rest)
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	if day > 28 && day > daysIn(year, month) {
		return 0, false
	}
	unix := daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+sec-offset)
	return inNanos(unix, nanos)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts the days from 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin in March
// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := year / 400
	yearOfEra := year - era*400
	dayOfYear := (153*((month+9)%12)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era)*146097 + int64(dayOfEra) - 719468
}

// second is a second in nanoseconds.
const second = int64(time.Second)

// inNanos refuses what 64 bits of nanoseconds cannot hold (before 1678 and after 2262).
func inNanos(seconds int64, nanos int64) (int64, bool) {
	if seconds < math.MinInt64/second+1 || seconds > math.MaxInt64/second-1 {
		return 0, false
	}
	return seconds*second + nanos, true
}

// fraction reads ".123" or ",123" to nanoseconds; digits past the ninth are cut.
func fraction(b []byte) (nanos int64, rest []byte) {
	if len(b) < 2 || b[0] != '.' && b[0] != ',' {
		return 0, b
	}
	i, scale := 1, int64(1e8)
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		nanos += int64(b[i]-'0') * scale
		scale /= 10
	}
	return nanos, b[i:]
}

// zone reads what may follow the time of day, to seconds east of UTC.
func zone(b []byte) (int, bool) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, true
	}
	switch b[0] {
	case 'Z', 'z':
		return 0, len(b) == 1
	case 'U', 'G':
		return 0, string(b) == "UTC" || string(b) == "GMT"
	case '+', '-':
		return offset(b)
	}
	return 0, false
}

// offset reads +hh, +hhmm or +hh:mm.
func offset(b []byte) (int, bool) {
	sign := 1
	if b[0] == '-' {
		sign = -1
	}
	b = b[1:]
	h, ok := digits2(b)
	if !ok || h > 23 {
		return 0, false
	}
	b = b[2:]
	if len(b) == 0 {
		return sign * h * 3600, true
	}
	if b[0] == ':' {
		b = b[1:]
	}
	m, ok := digits2(b)
	return sign * (h*3600 + m*60), ok && m < 60 && len(b) == 2
}

func digits2(b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	hi, lo := b[0]-'0', b[1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

func digits4(b []byte) (int, bool) {
	hi, ok1 := digits2(b)
	lo, ok2 := digits2(b[2:])
	return hi*100 + lo, ok1 && ok2
}

// parseEpoch tells the unit by magnitude: up to 10^11 seconds (the year 5138), 10^14 milliseconds, 10^17 microseconds,
// else nanoseconds. Decimal fractions keep every digit that a nanosecond can hold.
func parseEpoch(b []byte) (int64, bool) {
	i := 0
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == 0 || i > 19 {
		return 0, false
	}
	if i < len(b) && b[i] != '.' {
		return epochFloat(b)
	}
	whole, err := strconv.ParseInt(text(b[:i]), 10, 64)
	if err != nil {
		return 0, false
	}
	unit := epochUnit(float64(whole))
	if whole > math.MaxInt64/unit {
		return 0, false
	}
	ns := whole * unit
	for scale, rest := unit/10, b[min(i+1, len(b)):]; len(rest) > 0; scale, rest = scale/10, rest[1:] {
		d := rest[0] - '0'
		if d > 9 {
			return epochFloat(b)
		}
		ns += int64(d) * scale
	}
	return ns, true
}

// epochFloat reads numbers with an exponent, at the precision of a float64.
func epochFloat(b []byte) (int64, bool) {
	f, err := strconv.ParseFloat(text(b), 64)
	if err != nil || f < 0 || f != f {
		return 0, false
	}
	ns := f * float64(epochUnit(f))
	if ns > math.MaxInt64/2 {
		return 0, false
	}
	return int64(ns), true
}

func epochUnit(v float64) int64 {
	switch {
	case v < 1e11:
		return 1e9
	case v < 1e14:
		return 1e6
	case v < 1e17:
		return 1e3
	}
	return 1
}

// text views bytes as a string for functions that only read it while they run.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// A stampCache writes times like appendTime, and remembers the text of the last second: lines come in order.
type stampCache struct {
	second int64
	text   [len("2006-01-02T15:04:05")]byte
	valid  bool
}

func (c *stampCache) append(dst []byte, t int64) []byte {
	sec, nanos := t/second, t%second
	if nanos < 0 {
		return appendTime(dst, t)
	}
	if !c.valid || sec != c.second {
		time.Unix(sec, 0).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05")
		c.second, c.valid = sec, true
	}
	dst = append(dst, c.text[:]...)
	if nanos > 0 {
		var frac [10]byte
		frac[0] = '.'
		for i := 9; i > 0; i-- {
			frac[i] = byte('0' + nanos%10)
			nanos /= 10
		}
		n := 10
		for frac[n-1] == '0' {
			n--
		}
		dst = append(dst, frac[:n]...)
	}
	return append(dst, 'Z')
}

// appendTime appends t (Unix nanoseconds) as RFC 3339 in UTC with as many fraction digits as it needs.
func appendTime(dst []byte, t int64) []byte {
	return time.Unix(0, t).UTC().AppendFormat(dst, time.RFC3339Nano)
}
