// Package ingest takes records that are posted or piped, and answers when they are durable: through the pipeline, into the
// journal. See DESIGN.md.
//
//	config.go   the section of the configuration
//	intake.go   workers: records through the pipeline into the journal, with idempotency
//	server.go   the listener and the routes
//	body.go     a request's bytes, within limits
//	split.go    … and the records in them
//	problem.go  answers that say what is wrong
//	openapi.go  the description of the routes
//	token.go    the optional token
//	lines.go    standard input and the output of an application
package ingest
