// Package agent wires the parts together and gives them a life: start, run, drain, stop.
//
// # The way of one record
//
//		                 tail.Tailer                  Pipeline.Process            Agent.dispatch               Agent.deliver
//		app.log ─ read ─► Cutter.Cut ─► *pipeline.Raw ─► decode ─► *pipeline.Batch ─► ledger.Append ─► sinks.Sink.Write ─► []sinks.Result
//		                 (join)                       classify                    (intent, fsync)                      │
//		                                              complete                                                         ▼
//		                                              encode, with every value                        deadletter.Log.Add (rejected)
//		                                              through the redacting writer                    ledger.Finish (outcome)
//		                                                                                              books.settle, Tailer.Acked
//
//		POST ─ ingest.Server ─► Intake (a pipeline of its own) ─► journal.Append, fsync ─► 202
//		stdin, exec ─ ingest.Lines ─┘            journal.Batches ─► Pipeline.Restore ─► *pipeline.Batch ─► as above
//
//	  - Goroutines, all owned and waited for by Agent.Run: the tailer reads and cuts; process runs the pipeline; dispatch
//	    writes intents in order and keeps up to Sink.InFlight deliveries under way; supervise ends it all in time;
//	    watchEnd drains when there is nothing to do, or the stop file is there; the keeper deletes what has expired; the
//	    watchdog looks whether the inputs answer. Between the first three are channels of batches of length one: the pools of batches bound the memory, and a
//	    store that is slow stops the reading.
//	  - A record is a Cut (where it lies) and a Decision (what became of it). Its bytes are in pipeline.Raw until
//	    redaction and in pipeline.Batch after it, and nothing of a Raw gets into a place that outlives the process.
//	  - The ledger is told before the sink is. From its intents follow the offsets to resume from; from an intent
//	    without an outcome follows a replay: Tailer.Reload reads the same bytes, Pipeline.Process obeys the Decisions of
//	    the intent, and the sink is asked again, for the target that the intent names.
//	  - The journal is a second source beside the tailer, of records that can be read nowhere else. It holds what the
//	    pipeline made of them, so its batches skip that: agent/ingest/DESIGN.md.
//	  - The keeper deletes from the store what is over its retention, and tells of it through the journal:
//	    docs/adr/022-retention.md.
//	  - A reload (Agent.Reconfigure) exchanges the pipeline between two batches, the files to read while none is being
//	    read, and the sink between two attempts. Nothing is stopped for it: docs/adr/011-reload-in-place.md.
//	  - Every byte is hashed once: raw bytes by xxHash as they are read (Range.Sum, Range.TailSum), documents by SHA-256 as
//	    they are encoded (Decision.Leaf).
package agent
