// Package client logs activities (who did what to which thing, when, and did it work) through an activity-agent that runs
// beside the application.
//
// A Client has one method for each kind of activity. Middleware logs the requests that an application answers, Transport
// those that it makes, and Handler what it says through log/slog.
//
// Logging never breaks the application and, unless it is asked to, never waits. An activity is encoded at once and put
// into a queue of so many bytes; one goroutine takes it from there to the agent:
//
//	call ─► encode ─► queue ─► batch ─► POST /v1/activities (or a line of a file) ─► 202: the agent has it on disk
//
// What is logged while a request is under way goes together with the next. A request that had no answer is repeated with the
// same bytes, ids and Idempotency-Key until it has one, so no activity is stored twice. Each activity gets one fate, and
// Stats adds up at every moment:
//
//	Logged = Delivered + Rejected + Dropped + Abandoned + Pending
package client
