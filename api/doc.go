// Package api is the read API: it turns a request into one question to the store, adds the caller's isolation, and writes
// the answer.
//
// # The way of a request
//
//		 net/http          Server.ServeHTTP                       handler                     view                store
//		request ─ limits ─► access.Gate.Identify ─► limiter ─► search.Parse ─► search.Query ─► scope ─► search.Store.Search
//		                    (401)                   (429)       (422)                          (403, 404)         │
//		client  ◄────────── access log ◄─────────── Page as JSON ◄────────────────────────────────────────────────┘
//
//	  - Isolation is in one place, view.go. A handler has a view, which is the store as its caller may see it, and nothing
//	    else: there is no way from it to the store. A view adds the caller's conditions to each question, and looks at each
//	    document that it gets by id. Parameters, sort keys and cursors are inside of that: they can only narrow.
//	  - The routes are the table in routes.go. Each is there with and without the slash at its end. A test describes
//	    them as OpenAPI (describe.go), and the tests of isolation go through the table and the description, so that a new route
//	    or parameter is tested by being there.
//	  - Numbers go the same way, by view.Aggregate: summaries, failed logins and what people put together themselves are
//	    search.Aggregations of what the caller may see.
//	  - Who a caller is, package access says; what there is to ask, activity/search; how it is answered, the stores.
//	  - No text of an answer or of the log says what the caller cannot see: the id of another's activity is 404 like one
//	    that does not exist. The log has the route's pattern, not its path and not its parameters.
//	  - A route answers with one value, or, where route.stream is set, piece by piece (stream.go): exports page by page, live
//	    readers from the feed of package live, whose filter is the view's question, answered in memory. A streamed answer has
//	    a time for each piece, not for all, and breaks off where it fails.
//	  - Goroutines: those of net/http, and the feed's, which is there while there are live readers. Server.Serve ends them
//	    and waits.
package api
