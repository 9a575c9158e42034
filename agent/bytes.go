package agent

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// errSize names no value: the text may come from a secret file.
var errSize = errors.New("not a size: write a whole number of bytes, or one with KiB, MiB or GiB behind it")

// units are the ones that sizes are written in, the largest first.
var units = []struct {
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes b with the largest unit that divides it: "12MiB", "1536KiB", "1000". UnmarshalText reads it back.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText reads "12582912", "12288KiB" or "12MiB". It refuses signs, fractions, other units and sizes over 8 EiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := string(text), Bytes(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimRight(rest, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || Bytes(n) > math.MaxInt64/unit {
		return errSize
	}
	*b = Bytes(n) * unit
	return nil
}
