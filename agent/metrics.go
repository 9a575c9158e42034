package agent

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truledgr/activity-agent/agent/tail"
)

// collector turns the account and the state of the files into metrics, at the moment of the scrape, so that they always
// equal the accounting.
type collector struct {
	agent   *Agent
	version string
}

var (
	descInfo     = desc("build_info", "Version of the agent; always 1.", "version")
	descRead     = desc("records_read_total", "Records taken in, after joining. Equals the sum of all records_*_total below and records_in_flight.")
	descStored   = desc("records_stored_total", "Records stored now.")
	descDup      = desc("records_duplicate_total", "Records that were stored before.")
	descConflict = desc("records_conflict_total", "Records stored under an id of ours, the given one being taken by another document.")
	descDead     = desc("records_dead_lettered_total", "Records set aside without their bytes; see deadletter list.")
	descDropped  = desc("records_dropped_total", "Records dropped by a rule.", "rule")
	descLost     = desc("records_lost_total", "Records of an earlier run whose source is gone.", "reason")
	descInFlight = desc("records_in_flight", "Records whose fate is not recorded yet.")
	descKind     = desc("records_by_kind_total", "Records to be delivered, by kind.", "kind")
	descRedacted = desc("redactions_total", "Values removed, by detector.", "detector")
	descReplayed = desc("records_replayed_total", "Records read again after a crash; part of records_read_total.")
	descLines    = desc("lines_read_total", "Lines taken in.")
	descBytes    = desc("bytes_read_total", "Bytes taken in.")
	descBatches  = desc("batches_total", "Batches with a recorded outcome.")
	descRetries  = desc("delivery_retries_total", "Attempts to deliver after the first one of a batch.")
	descPanics   = desc("pipeline_panics_total", "Records set aside because of a bug in the agent.")
	descStuck    = desc("stuck", "1 if the agent itself no longer works, as /livez says; else 0.")
	descTrouble  = desc("trouble", "Things that are failing now; /healthz names them.")
	descOldest   = desc("oldest_unacked_seconds", "How long the oldest of the records in flight has been so.")
	descLag      = desc("file_lag_bytes", "Bytes of a file that have not been read.", "path")
	descLagTime  = desc("file_lag_seconds", "How long a file has had bytes that are not read, at most.", "path")
	descUnacked  = desc("file_unacked_bytes", "Bytes of a file that have been read and have no outcome yet.", "path")
	descAllLag   = desc("lag_bytes", "Bytes of all files that have not been read.")
	descAllUnack = desc("unacked_bytes", "Bytes of all files that have been read and have no outcome yet.")
	descConfig   = desc("config_info", "The configuration in force, by a hash of it without its secrets; always 1.", "hash")
	descConfigAt = desc("config_last_reload_success_timestamp_seconds", "Since when that configuration is in force.")
	descConfigOK = desc("config_last_reload_successful", "0 if the configuration was changed since and refused; else 1.")
	descReloads  = desc("config_reloads_total", "Attempts to take up a changed configuration.", "result")
	descDamaged  = desc("archives_damaged_total", "Compressed files that end before their end; what could be read of them was.", "reason")
	descRemoved  = desc("rotated_files_deleted_total", "Rotated files deleted because all of their records have an outcome.")
	descFreed    = desc("rotated_bytes_deleted_total", "Bytes of these files.")
	descVolSize  = desc("log_volume_bytes", "Size of a file system that log files are on.", "directory")
	descVolFree  = desc("log_volume_free_bytes", "Bytes of it that are free.", "directory")
	descPolling  = desc("polling", "1 if the system does not tell of changes in some directory of log files, as when inotify's limits are reached; files are polled in any case.")
	descExpired  = desc("expired_records_total", "Records deleted from the store for their age, by kind, as far as the store counts them.", "kind")
	descDeleted  = desc("expired_deletions_total", "Deletions for age that are over: an index, or all expired rows of a kind.")
	descKept     = desc("retention_last_success_timestamp_seconds", "When nothing that had expired was left in the store, last.")
	descFiles    = desc("files", "Files that are known.")
)

// What comes without files.
var (
	descAnswers    = desc("ingest_requests_total", "Requests answered by the ingest listener, by status.", "status")
	descTaken      = desc("journal_records_total", "Records made durable in the journal: posted, piped, or of an application's output.")
	descCommits    = desc("journal_commits_total", "Fsyncs that made them durable.")
	descJournal    = desc("journal_bytes", "Bytes of the journal on the disk.")
	descBudget     = desc("journal_budget_bytes", "Bytes that it may have; beyond that, posts are refused with 429.")
	descWaiting    = desc("journal_waiting_bytes", "Bytes of the journal that have not been handed over for delivery.")
	descKeys       = desc("journal_idempotency_keys", "Idempotency keys that are remembered.")
	descUnreadable = desc("journal_damaged_bytes_total", "Bytes of the journal that could not be read.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("activity_agent_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector. The set of metrics depends on the files there are, so none are promised.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	a := c.agent.Account()
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	each := func(d *prometheus.Desc, m map[string]int64) {
		for label, v := range m {
			count(d, v, label)
		}
	}
	gauge(descInfo, 1, c.version)
	count(descRead, a.Read)
	count(descStored, a.Stored)
	count(descDup, a.Duplicate)
	count(descConflict, a.Conflict)
	count(descDead, a.DeadLettered)
	each(descDropped, a.Dropped)
	each(descLost, a.Lost)
	gauge(descInFlight, a.InFlight)
	each(descKind, a.ByKind)
	each(descRedacted, a.Redacted)
	count(descReplayed, a.Replayed)
	count(descLines, a.Lines)
	count(descBytes, a.Bytes)
	count(descBatches, a.Batches)
	count(descRetries, a.Retries)
	count(descPanics, a.Panics)
	each(descDamaged, c.agent.tailer.Damaged())
	polling := int64(0)
	if c.agent.tailer.Polling() {
		polling = 1
	}
	gauge(descPolling, polling)
	removed := c.agent.tailer.Removed()
	count(descRemoved, removed.Files)
	count(descFreed, removed.Bytes)
	for _, v := range c.agent.tailer.Volumes() {
		gauge(descVolSize, v.Size, v.Dir)
		gauge(descVolFree, v.Free, v.Dir)
	}
	var stuck int64
	if c.agent.Stuck() != "" {
		stuck = 1
	}
	gauge(descStuck, stuck)
	gauge(descTrouble, int64(len(c.agent.Trouble())))
	c.agent.reloads.collect(gauge, count)
	ch <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, c.agent.books.oldest().Seconds())
	c.agent.keeper.collect(gauge, count)
	c.journal(gauge, count)
	c.files(ch, gauge)
}

// journal tells of what comes without files.
func (c *collector) journal(gauge, count func(d *prometheus.Desc, v int64, labels ...string)) {
	j := c.agent.in.journal.Stats()
	count(descTaken, j.Records)
	count(descCommits, j.Commits)
	count(descUnreadable, j.Damaged)
	gauge(descJournal, j.Bytes)
	gauge(descBudget, j.Budget)
	gauge(descWaiting, j.Waiting)
	gauge(descKeys, j.Keys)
	if s := c.agent.in.server; s != nil {
		for status, n := range s.Answers() {
			count(descAnswers, n, strconv.Itoa(status))
		}
	}
}

// maxFiles is how many files have metrics of their own: those with the most to do.
const maxFiles = 100

func (c *collector) files(ch chan<- prometheus.Metric, gauge func(d *prometheus.Desc, v int64, labels ...string)) {
	files := c.agent.Files()
	gauge(descFiles, int64(len(files)))
	var lag, pending int64
	for i := range files {
		lag += unread(&files[i])
		pending += unacked(&files[i])
	}
	gauge(descAllLag, lag)
	gauge(descAllUnack, pending)
	slices.SortStableFunc(files, func(a, b tail.FileStat) int { return cmp.Compare(b.Lag, a.Lag) })
	seen := make(map[string]bool, maxFiles)
	for _, f := range files {
		path := strings.ToValidUTF8(f.Path, "\uFFFD") // a label that is not UTF-8 would be a panic
		if seen[path] {                               // a rotated file and its successor, for a moment
			continue
		}
		if len(seen) == maxFiles {
			return
		}
		seen[path] = true
		gauge(descLag, unread(&f), path)
		gauge(descUnacked, unacked(&f), path)
		ch <- prometheus.MustNewConstMetric(descLagTime, prometheus.GaugeValue, f.Age.Seconds(), path)
	}
}

func unread(f *tail.FileStat) int64  { return max(f.Size-f.Read, 0) }
func unacked(f *tail.FileStat) int64 { return max(f.Read-f.Acked, 0) }

func (k *keeper) collect(gauge, count func(d *prometheus.Desc, v int64, labels ...string)) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind, n := range k.records {
		count(descExpired, n, kind)
	}
	count(descDeleted, k.parts)
	if !k.ok.IsZero() {
		gauge(descKept, k.ok.Unix())
	}
}

func (r *reloads) collect(gauge, count func(d *prometheus.Desc, v int64, labels ...string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	good := int64(1)
	if r.err != nil {
		good = 0
	}
	gauge(descConfig, 1, r.hash)
	gauge(descConfigAt, r.at.Unix())
	gauge(descConfigOK, good)
	count(descReloads, r.ok, "taken_up")
	count(descReloads, r.refused, "refused")
}
