package elasticsearch

import (
	"bytes"
	"fmt"
)

// arriving shows the groups of a page to the picker while the rest of the page is still on its way: a page has fifty thousand, and
// Elasticsearch takes longer to write them than it takes to read them. What was shown is cut out of the answer.
//
// An answer that is written in another way than Elasticsearch does is left whole, to be read at its end.
type arriving struct {
	w     *walk
	list  int // where the list of groups begins in the answer, behind its bracket; 0 as long as nothing of it is there
	wait  int // for so many bytes of groups
	whole bool
	shown int // groups
	err   error
}

// None can stand within a value: the quotes of a value's text are escaped.
var (
	listBegins = []byte(`"buckets":[`)
	nextGroup  = []byte(`},{"key":`)
	countOf    = []byte(`},"doc_count":`)
	groupEnds  = []byte(`},`)
)

// take is a taker.
func (a *arriving) take(answer []byte) []byte {
	if a.list == 0 {
		if i := bytes.Index(answer, listBegins); i >= 0 {
			a.list = i + len(listBegins)
		}
	}
	there := len(answer) - a.list
	if a.whole || a.list == 0 || there < max(a.wait, a.w.r.groups.bytes) {
		return answer
	}
	end := a.list + bytes.LastIndex(answer[a.list:], nextGroup) + 1
	if end == a.list { // not one group yet
		a.wait = 2 * there
		return answer
	}
	if a.whole = !a.show(answer[a.list-1 : end+1]); a.whole {
		return answer
	}
	return append(answer[:a.list], answer[end+1:]...)
}

// show shows the groups of a list that ends with a comma to the picker. It reports whether it is one.
func (a *arriving) show(list []byte) bool {
	all := len(list)
	if list = list[:1+len(a.few(list[1:]))]; len(list) == 1 {
		return true
	}
	end := &list[len(list)-1]
	*end = ']'
	t := &a.w.some
	if t.Parse(list) != nil {
		if *end = ','; len(list) < all { // nor is it any more what it was
			a.err = fmt.Errorf("aggregate: %w", errAnswer)
			return true
		}
		return false
	}
	for i := uint32(1); i < t.Nodes[0].Next && a.err == nil; i = t.Nodes[i].Next {
		a.err = a.w.showGroup(t, i, orderMetric)
	}
	a.shown += int(t.Nodes[0].Children)
	return true
}

// few takes the groups that cannot come first, nearly all of tens of thousands, out of some that end with a comma each: their
// counts tell, and parsing them takes four times as long.
func (a *arriving) few(groups []byte) []byte {
	kept, from := groups[:0], 0
	for i := 0; ; {
		k := bytes.IndexByte(groups[i:], '}')
		if k < 0 {
			break
		}
		if i += k; !bytes.HasPrefix(groups[i:], countOf) {
			i++
			continue
		}
		first := i + len(countOf)
		count, end := int64(0), first
		for ; end < len(groups) && end < first+18 && groups[end]-'0' <= 9; end++ {
			count = count*10 + int64(groups[end]-'0')
		}
		if end == first || !bytes.HasPrefix(groups[end:], groupEnds) {
			break // there is more in the group
		}
		if i = end + len(groupEnds); a.w.picker.PassOver(count) {
			a.shown++
		} else {
			kept = append(kept, groups[from:i]...)
		}
		from = i
	}
	return append(kept, groups[from:]...)
}
