// Package pipeline turns raw records into redacted documents: join, decode, classify, redact, complete, encode.
//
// It is pure: no I/O, no clock, no goroutine. The same Raw, number and time give the same Batch, which is what makes a
// replay exact. The steps, and the files they are in:
//
//	join.go      lines to records, envelopes and partial lines recognised (run by the tailer, where batches are cut)
//	decode.go    envelope off, invalid UTF-8 replaced, JSON to a tape of nodes (internal/tape)
//	classify.go  names to roles (names.go), roles and shapes to a kind
//	complete.go  roles to the fields of that kind, values to their types, outcome and severity
//	encode.go    the document, field by field in the order of activity's table, with id and integrity; details.go writes
//	             what found no field, ecs.go the categorisation, constants.go what is the same for every record
//	redacted.go  the only way of a value from a line into a document: through the rules of package redact
//
// A value is copied once: from the read buffer, or the scratch memory it was unwrapped into, to the document.
package pipeline
