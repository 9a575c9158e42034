package activity

import (
	"errors"
	"strconv"
)

// Forever is the age that nothing reaches.
const Forever = "forever"

// errAge shows no value: the text may come from a secret file.
var errAge = errors.New("not an age: write a whole number with d, w, m or y behind it (400d, 13m, 2y), or forever")

// maxAge is a hundred years, in days.
const maxAge = 36_600

// ParseAge reads an age of activities, such as "400d", "8w", "13m", "2y" or "forever", and returns its days; 0 is for
// ever. A month is 31 days and a year 366, so that nothing is ever younger than what was asked for.
func ParseAge(text string) (days int, err error) {
	if text == Forever {
		return 0, nil
	}
	if text == "" {
		return 0, errAge
	}
	unit := map[byte]int{'d': 1, 'w': 7, 'm': 31, 'y': 366}[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	if err != nil || unit == 0 || n == 0 || int(n)*unit > maxAge {
		return 0, errAge
	}
	return int(n) * unit, nil
}
