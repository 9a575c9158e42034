package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/export"
)

// nextCursor is the trailer of an export that ended at its limit: the cursor to go on with.
const nextCursor = "X-Next-Cursor"

// maxExports is how many exports there may be at once.
const maxExports = 16

func exporting() *streaming {
	return &streaming{
		answer: exportAnswer,
		limits: func(c Config) (int, int) { return c.Exports, maxExports },
	}
}

var exportDoc = doc{
	summary: "All that match, as a file",
	params: []param{
		{name: "format", text: "of the file; ndjson unless told, or what Accept asks for", values: []string{"ndjson", "csv", "json"}},
		{name: "limit", text: "at most so many; all unless told", low: 1},
		{name: "cursor", text: "go on after the activity with this id, or at the cursor of the trailer " + nextCursor},
	},
	without: []string{"offset"},
	media:   []string{export.NDJSON.MediaType(), export.CSV.MediaType(), export.JSON.MediaType()},
}

// An order is what an export is asked for.
type order struct {
	query  search.Query
	format export.Format
	max    int // 0 for all
}

// exportAnswer writes all that match, page by page: there is never more than a page in memory.
func exportAnswer(v *view, w *stream, r *http.Request, now time.Time) error {
	o, err := exportOrder(v, r, now)
	if err != nil {
		return err
	}
	var (
		out    *export.Writer
		packed = func() error { return nil }
		next   string
	)
	begin := func() {
		var body io.Writer
		body, packed = exportHead(w, r, o.format, now)
		out = export.NewWriter(body, o.format, export.Columns(o.query.Model, o.query.Kinds, o.query.Fields), o.query.Cursor != "")
	}
	err = search.Pages(r.Context(), v, o.query, o.max, func(p search.Page) error {
		if out == nil {
			begin()
		}
		next = p.Next
		if r.Method == http.MethodHead {
			return errHead
		}
		for _, item := range p.Items {
			if err := out.Write(item); err != nil {
				return err
			}
			v.sent++
		}
		return out.Flush()
	})
	switch {
	case errors.Is(err, errHead):
		return w.Flush()
	case err != nil:
		return err
	}
	w.Header().Set(nextCursor, next)
	if err := out.Close(); err != nil {
		return err
	}
	return packed()
}

// errHead ends the reading where nobody wants the body.
var errHead = errors.New("the head is all")

// exportOrder reads the parameters.
func exportOrder(v *view, r *http.Request, now time.Time) (order, error) {
	params, err := parameters(r)
	if err != nil {
		return order{}, err
	}
	o := order{format: accepted(r.Header.Values("Accept"))}
	if name, ok := take(params, "format"); ok {
		if o.format, ok = export.ParseFormat(name); !ok {
			return o, &search.ParamError{Param: "format", Problem: "must be ndjson, csv or json"}
		}
	}
	if text, ok := take(params, "limit"); ok {
		if o.max, err = strconv.Atoi(text); err != nil || o.max < 1 {
			return o, &search.ParamError{Param: "limit", Problem: "must be a number from 1; all are exported without it"}
		}
	}
	if _, ok := params["offset"]; ok {
		return o, &search.ParamError{Param: "offset", Problem: "is not for exports: go on with cursor="}
	}
	if o.query, err = search.Parse(v.model, params, nil, now); err != nil {
		return o, err
	}
	err = o.query.Resume(r.Context(), v.Get, o.query.Cursor)
	if errors.Is(err, search.ErrNotFound) {
		err = &search.ParamError{Param: "cursor", Problem: "is the id of no activity that is there"}
	}
	return o, err
}

// take removes a parameter that is not one of a question, and returns its last value.
func take(params url.Values, name string) (string, bool) {
	values, ok := params[name]
	delete(params, name)
	if len(values) == 0 {
		return "", false
	}
	return values[len(values)-1], ok
}

// accepted is the first format that the client asks for.
func accepted(headers []string) export.Format {
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		media, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		for _, f := range export.Formats() {
			if base, _, _ := strings.Cut(f.MediaType(), ";"); base == media {
				return f
			}
		}
	}
	return export.NDJSON
}

// exportHead sets the header, and returns what to write the body to, and what ends it.
func exportHead(w *stream, r *http.Request, f export.Format, now time.Time) (io.Writer, func() error) {
	h := w.Header()
	h.Set("Content-Type", f.MediaType())
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="activities-%s.%s"`, now.UTC().Format("20060102T150405Z"), f))
	h.Set("Trailer", nextCursor)
	h.Add("Vary", "Accept, Accept-Encoding")
	if !gzipAccepted(r) {
		w.WriteHeader(http.StatusOK)
		return w, w.Flush
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(http.StatusOK)
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that there is
	return z, z.Close
}

// gzipAccepted reports whether the client takes gzip.
func gzipAccepted(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") && weight != "q=0" {
			return true
		}
	}
	return false
}
