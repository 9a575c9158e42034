package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"modernc.org/sqlite"
)

// percentilesFunction is an aggregate function for SQL: percentiles(x, '50,99') is the text "12.5,99" of the percentiles
// of x, or NULL where there is no x.
const percentilesFunction = "percentiles"

// A connector opens connections that know the function.
type connector struct {
	driver *sqlite.Driver
	name   string
}

func newConnector(name string) (*connector, error) {
	c := &connector{&sqlite.Driver{}, name}
	err := c.driver.RegisterFunction(percentilesFunction, &sqlite.FunctionImpl{
		NArgs: 2, Deterministic: true,
		MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return &percentileFunction{}, nil },
	})
	return c, err
}

// Connect opens a connection.
func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }

// Driver returns the driver.
func (c *connector) Driver() driver.Driver { return c.driver }

// A percentileFunction is one evaluation of the function.
type percentileFunction struct {
	percents []float64
	values   digest
}

// Step takes a row.
func (f *percentileFunction) Step(_ *sqlite.FunctionContext, args []driver.Value) (err error) {
	if f.percents == nil {
		text, _ := args[1].(string)
		if f.percents, err = parseFloats(text); err != nil {
			return err
		}
	}
	switch x := args[0].(type) {
	case int64:
		f.values.add(float64(x))
	case float64:
		f.values.add(x)
	}
	return nil
}

// WindowInverse is for windows, which nobody asks for.
func (f *percentileFunction) WindowInverse(*sqlite.FunctionContext, []driver.Value) error {
	return fmt.Errorf("%s is not a window function", percentilesFunction)
}

// WindowValue returns the result.
func (f *percentileFunction) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	if f.values.n == 0 {
		return nil, nil
	}
	out := make([]float64, len(f.percents))
	for i, p := range f.percents {
		out[i] = f.values.percentile(p)
	}
	return formatFloats(out), nil
}

// Final does nothing: memory is the collector's.
func (f *percentileFunction) Final(*sqlite.FunctionContext) {}

func formatFloats(xs []float64) string {
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(out, ",")
}

func parseFloats(text string) (out []float64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		x, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// A digest answers for the percentiles of numbers: exactly up to exactly so many, and beyond within 1 % of the value. Then
// it counts how many numbers are in each of buckets that grow by that much, which takes no more memory however many come:
// there are 2,080 for values from 10⁻⁹ to 10⁹.
type digest struct {
	n       int
	exact   []float64
	buckets map[int]int // count by number; see bucketOf
}

const (
	exactly = 10_000
	growth  = 1.02 // from the middle of a bucket to its ends it is 1 %
	one     = 1 << 16
)

// bucketOf numbers buckets: that of 1 is one, that of 0 is 0, and those of negative values are negative.
func bucketOf(x float64) int {
	n := int(math.Floor(math.Log(math.Abs(x))/math.Log(growth))) + one
	switch {
	case x > 0:
		return n
	case x < 0:
		return -n
	}
	return 0
}

// valueOf is the number that a bucket stands for.
func valueOf(bucket int) float64 {
	switch {
	case bucket > 0:
		return math.Pow(growth, float64(bucket-one)+0.5)
	case bucket < 0:
		return -math.Pow(growth, float64(-bucket-one)+0.5)
	}
	return 0
}

func (d *digest) add(x float64) {
	d.n++
	if d.buckets == nil {
		if d.exact = append(d.exact, x); len(d.exact) <= exactly {
			return
		}
		d.buckets = map[int]int{}
		for _, x := range d.exact {
			d.buckets[bucketOf(x)]++
		}
		d.exact = nil
		return
	}
	d.buckets[bucketOf(x)]++
}

// percentile interpolates between the two values nearest to the rank, as Elasticsearch does where it is exact.
func (d *digest) percentile(percent float64) float64 {
	rank := percent / 100 * float64(d.n-1)
	low := int(math.Floor(rank))
	high := min(low+1, d.n-1)
	if d.buckets == nil {
		slices.Sort(d.exact)
		a, b := d.exact[low], d.exact[high]
		return a + (b-a)*(rank-float64(low))
	}
	for _, bucket := range slices.Sorted(maps.Keys(d.buckets)) {
		if low -= d.buckets[bucket]; low < 0 {
			return valueOf(bucket)
		}
	}
	return 0 // not reached: the counts add up to n
}
