package config

import (
	"errors"
	"fmt"
	"net"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/pipeline/redact"
	userrule "github.com/truledgr/activity-agent/pipeline/rule"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

// A rule says what a key may hold, beyond its type. The zero rule allows everything.
type rule struct {
	need     string   // the key must be set and not empty; what to write
	unless   string   // of need: a key beside it that makes it unnecessary where it is written
	one      bool     // exactly one key of the section must be set
	either   []string // at least one of these keys of the section must be set
	advice   string   // of either: what to write
	enum     []string // the texts allowed
	min, max int64    // bounds of a number, a size or a duration (ns); max 0 is none
	size     bool     // an int that counts bytes
	text     func(string) (problem, advice string)
	named    func(m *activity.Model, s string) (problem, advice string) // of a text that names a kind
	whole    func(m *activity.Model, section any) []error               // checks a section whose keys are right by themselves
	restart  bool                                                       // a running agent cannot take up a change
}

const (
	needFiles = `say what to read, for example:
  files:
    - include: ["/var/log/app/*.log"]
or where activities are posted:
  ingest: {listen: "127.0.0.1:8480"}`
	needCluster = `name the cluster's nodes, such as addresses: ["https://es:9200"], or a deployment in Elastic Cloud by cloud_id`
	needStore   = `say where to store, for example:
  store:
    sqlite: {path: ./activity-data/activities.db}`
)

// rules by key; list entries are written "[]".
var rules = map[string]rule{
	"agent.id":                                    {restart: true, text: printable},
	"agent.id_key":                                {restart: true},
	"agent.state_dir":                             {restart: true, need: "name a directory that the agent may write to, such as ./activity-data/state"},
	"agent.drain_timeout":                         {min: 1, max: int64(10 * time.Minute)},
	"agent.stop_file":                             {restart: true},
	"agent.memory_budget":                         {restart: true, min: 6 << 20},
	"files":                                       {need: needFiles, unless: "ingest"},
	"files[].include":                             {need: `name the files to read, for example include: ["/var/log/app/*.log"]`},
	"files[].include[]":                           {text: glob},
	"files[].exclude[]":                           {text: glob},
	"files[].start_at":                            {enum: []string{"beginning", "end"}},
	"files[].format":                              {enum: []string{"auto", "json", "docker", "cri", "text"}},
	"files[].non_json":                            {enum: []string{"keep", "drop", "dead_letter"}},
	"files[].multiline":                           {enum: []string{"traces", "off"}},
	"files[].delete":                              {enum: []string{"never", "after_ack"}},
	"files[].volume_warning":                      {max: 100},
	"files[].max_line_bytes":                      {size: true, min: 1 << 10, max: 4 << 20},
	"ingest.listen":                               {restart: true, text: ingestAddress},
	"ingest.socket_mode":                          {restart: true, text: fileMode},
	"ingest.token":                                {restart: true, text: printable},
	"ingest.token_file":                           {restart: true},
	"ingest.max_body":                             {restart: true, size: true, min: 1 << 10, max: 16 << 20},
	"ingest.max_connections":                      {restart: true, min: 1, max: 10_000},
	"ingest.disk_budget":                          {restart: true, size: true, min: 64 << 20},
	"kinds":                                       {restart: true},
	"kinds[].name":                                {need: "give it a name, such as card_payment"},
	"kinds[].retention":                           {text: kindAge},
	"kinds[].category[]":                          {enum: activity.ECSCategories()},
	"kinds[].type[]":                              {enum: activity.ECSTypes()},
	"kinds[].fields[].name":                       {need: "give it a name, such as card_network"},
	"kinds[].fields[].type":                       {need: "write the type of its values, such as keyword or double", enum: activity.FieldTypes()},
	"pipeline.redact.fields[]":                    {text: fieldName},
	"pipeline.redact.allow[]":                     {text: fieldName},
	"pipeline.redact.detect":                      {need: "write default, none, or names of detectors", text: detectors},
	"pipeline.redact.action":                      {enum: []string{"mask", "partial", "hash", "drop"}},
	"pipeline.redact.rules[].fields[]":            {text: fieldName},
	"pipeline.redact.rules[].detect[]":            {text: oneDetector},
	"pipeline.redact.rules[].kinds[]":             {named: kindName},
	"pipeline.redact.rules[].action":              {enum: []string{"mask", "partial", "hash", "drop", "keep"}},
	"pipeline.redact.only[]":                      {text: fieldName},
	"pipeline.redact.identity":                    {enum: []string{"keep", "hash"}},
	"pipeline.redact":                             {whole: redaction},
	"pipeline.classify[].name":                    {need: "give it a name, by which its lines are counted", text: printable},
	"pipeline.classify[].when":                    {need: `write a condition, such as level == "debug"`, text: condition},
	"pipeline.classify[].kind":                    {named: kindName},
	"pipeline.classify[]":                         {whole: oneRule},
	"pipeline":                                    {whole: allRules},
	"tests[].line":                                {need: `write a line of the log, such as '{"msg":"hi"}'`},
	"":                                            {whole: together},
	"retention.default":                           {restart: true, need: "write an age such as 400d, or forever", text: age},
	"retention.activity":                          {restart: true, text: kindAge},
	"retention.api_transaction":                   {restart: true, text: kindAge},
	"retention.data_access":                       {restart: true, text: kindAge},
	"retention.data_change":                       {restart: true, text: kindAge},
	"retention.auth_event":                        {restart: true, text: kindAge},
	"retention.external_api":                      {restart: true, text: kindAge},
	"retention.system_event":                      {restart: true, text: kindAge},
	"store.elasticsearch.flavor":                  {enum: []string{"elasticsearch", "opensearch"}},
	"store.elasticsearch.expiry":                  {enum: []string{"cluster", "agent"}},
	"store.elasticsearch.warm_after":              {text: kindAge},
	"store":                                       {need: needStore, one: true},
	"store.sqlite.path":                           {restart: true, need: "name the database file, such as ./activity-data/activities.db"},
	"store.elasticsearch":                         {either: []string{"addresses", "cloud_id"}, advice: needCluster},
	"store.elasticsearch.addresses[]":             {text: clusterAddress},
	"store.elasticsearch.index_prefix":            {text: indexPrefix},
	"store.elasticsearch.period":                  {enum: []string{"day", "week", "month"}},
	"store.elasticsearch.periods.activity":        {text: kindPeriod},
	"store.elasticsearch.periods.api_transaction": {text: kindPeriod},
	"store.elasticsearch.periods.data_access":     {text: kindPeriod},
	"store.elasticsearch.periods.data_change":     {text: kindPeriod},
	"store.elasticsearch.periods.auth_event":      {text: kindPeriod},
	"store.elasticsearch.periods.external_api":    {text: kindPeriod},
	"store.elasticsearch.periods.system_event":    {text: kindPeriod},
	"store.elasticsearch.compression":             {enum: []string{"gzip", "none"}},
	"store.elasticsearch.compression_level":       {min: 1, max: 9},
	"store.elasticsearch.max_body":                {size: true, min: 64 << 10, max: 64 << 20},
	"store.elasticsearch.request_timeout":         {min: int64(time.Second), max: int64(10 * time.Minute)},
	"store.elasticsearch.concurrency":             {restart: true, min: 1, max: 16},
	"store.file.path":                             {restart: true, need: "name the file to append to, such as ./activities.ndjson, or \"-\" for standard output"},
	"api":                                         {whole: readAPI},
	"api.listen":                                  {restart: true, text: address},
	"api.auth.jwt.secret":                         {restart: true},
	"api.auth.jwt.jwks_url":                       {restart: true},
	"api.auth.jwt.issuer":                         {restart: true},
	"api.auth.jwt.audience":                       {restart: true},
	"api.auth.jwt.leeway":                         {restart: true, max: int64(5 * time.Minute)},
	"api.auth.jwt.user_claim":                     {restart: true, need: "name the claim that has the user, such as sub"},
	"api.auth.jwt.roles_claim":                    {restart: true, need: "name the claim that has the roles, such as roles"},
	"api.auth.jwt.tenant_claim":                   {restart: true, need: "name the claim that has the tenant, such as tenant"},
	"api.auth.api_keys":                           {restart: true, need: "name the file of keys, such as ./activity-data/api-keys.yaml"},
	"api.auth.anonymous":                          {restart: true, enum: []string{"", "auditor", "admin"}},
	"api.rate_limit":                              {restart: true, min: 1, max: 1_000_000},
	"api.cors_origins":                            {restart: true},
	"api.cors_origins[]":                          {text: webOrigin},
	"api.record_reads":                            {restart: true, enum: []string{"required", "best_effort", "off"}},
	"api.state_dir":                               {restart: true},
	"api.amend_own":                               {restart: true},
	"api.exports":                                 {restart: true, min: 1, max: 1000},
	"api.live.per_caller":                         {restart: true, min: 1, max: 1000},
	"admin.listen":                                {restart: true, text: address},
	"log.level":                                   {enum: []string{"debug", "info", "warn", "error"}},
	"log.format":                                  {restart: true, enum: []string{"auto", "json", "text"}},
}

// check tells what is wrong with a value, "" if nothing is. A hidden value is not shown.
func (r rule) check(v reflect.Value, fallback string, hidden bool) (problem, advice string) {
	switch {
	case v.CanInt():
		return r.checkNumber(v, hidden)
	case v.Kind() == reflect.String && len(r.enum) > 0:
		return r.checkEnum(v.String(), fallback, hidden)
	case v.Kind() == reflect.String && r.text != nil:
		return r.text(v.String())
	}
	return "", ""
}

func (r rule) checkEnum(s, fallback string, hidden bool) (problem, advice string) {
	if slices.Contains(r.enum, s) {
		return "", ""
	}
	problem, advice = "expected one of "+strings.Join(r.enum, ", "), "the default is `"+fallback+"`"
	if !slices.Contains(r.enum, fallback) {
		advice = "write one of them"
	}
	if hidden {
		return problem + "; this is none of them", advice
	}
	if near := nearest(s, r.enum); near != "" {
		advice = "did you mean `" + near + "`?"
	}
	return problem + "; found " + strconv.Quote(shortened(s)), advice
}

func (r rule) checkNumber(v reflect.Value, hidden bool) (problem, advice string) {
	low, high := v.Int() < r.min, r.max > 0 && v.Int() > r.max
	if !low && !high {
		return "", ""
	}
	text := func(n int64) string {
		w := reflect.New(v.Type()).Elem()
		w.SetInt(n)
		return plain(w, r)
	}
	it := text(v.Int())
	if hidden {
		it = "it"
	}
	switch {
	case low && r.min == 1:
		problem = it + " is not more than 0"
	case low:
		problem = it + " is less than the least allowed, " + text(r.min)
	default:
		problem = it + " is more than the most allowed, " + text(r.max)
	}
	return problem, "write " + r.span(text)
}

// span says which numbers are allowed, written by text; "" if all are.
func (r rule) span(text func(int64) string) string {
	switch {
	case r.min == 1 && r.max > 0:
		return "more than 0, at most " + text(r.max)
	case r.min > 0 && r.max > 0:
		return text(r.min) + " to " + text(r.max)
	case r.min > 0:
		return text(r.min) + " or more"
	default:
		return ""
	}
}

// plain returns how a scalar is written in the file.
func plain(v reflect.Value, r rule) string {
	if r.size {
		return agent.Bytes(v.Int()).String()
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		s := x.String() // "10m0s" is written 10m
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	default:
		return fmt.Sprint(x)
	}
}

var almostSize = regexp.MustCompile(`^([0-9]+) ?([kKmMgG])[iI]?[bB]?$`)

// hint tells how to write a value that its type refused. A hidden one is not shown.
func hint(text string, v reflect.Value, r rule, hidden bool) string {
	_, err := strconv.ParseFloat(text, 64)
	number := err == nil
	isSize := v.Type() == reflect.TypeFor[agent.Bytes]() || r.size
	switch {
	case v.Kind() == reflect.Bool && !hidden && slices.Contains([]string{"yes", "on", "y", "1"}, strings.ToLower(text)):
		return "write true"
	case v.Kind() == reflect.Bool && !hidden && slices.Contains([]string{"no", "off", "n", "0"}, strings.ToLower(text)):
		return "write false"
	case v.Kind() == reflect.Bool:
		return "write one of the two"
	case v.Type() == reflect.TypeFor[time.Duration]() && number && !hidden:
		return "add the unit: " + text + "s, " + text + "ms or " + text + "m"
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "the units are ms, s, m and h, without a space before"
	case isSize && !hidden && almostSize.MatchString(text):
		m := almostSize.FindStringSubmatch(text)
		return "did you mean `" + m[1] + strings.ToUpper(m[2]) + "iB`?"
	case isSize:
		return "write a whole number of bytes, or one with KiB, MiB or GiB behind it"
	default:
		return "write digits only"
	}
}

// address checks a host and a port to listen on; "" is off.
func address(s string) (problem, advice string) {
	if s == "" {
		return "", ""
	}
	advice = `write it as "127.0.0.1:8482", ":8482" for all interfaces, "[::1]:8482" for IPv6, or "" for off`
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "expected an address of host and port", advice
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "the port must be a number up to 65535", advice
	}
	return "", ""
}

// ingestAddress checks where activities are posted to.
func ingestAddress(s string) (problem, advice string) {
	if advice = ingest.CheckListen(s); advice != "" {
		problem = "this cannot be listened on"
	}
	return problem, advice
}

// webOrigin checks where web pages may come from.
func webOrigin(s string) (problem, advice string) {
	if advice = api.CheckOrigin(s); advice != "" {
		problem = "this is not the origin of a web page"
	}
	return problem, advice
}

// fileMode checks a mode in octal digits.
func fileMode(s string) (problem, advice string) {
	if _, err := ingest.ParseMode(s); err != nil {
		return "expected a file mode", `write octal digits in quotes, such as "0660"`
	}
	return "", ""
}

// clusterAddress checks the address of an Elasticsearch node.
func clusterAddress(s string) (problem, advice string) {
	if advice = elasticsearch.CheckAddress(s); advice != "" {
		problem = "this is not the address of a node"
	}
	return problem, advice
}

// indexPrefix checks the beginning of index names.
func indexPrefix(s string) (problem, advice string) {
	if advice = elasticsearch.CheckPrefix(s); advice != "" {
		problem = "index names cannot begin so"
	}
	return problem, advice
}

// kindPeriod checks the period of one kind; "" is that of all.
func kindPeriod(s string) (problem, advice string) {
	if s == "" || s == "day" || s == "week" || s == "month" {
		return "", ""
	}
	return "expected one of day, week, month", `leave it out, or write "", for the period of all kinds`
}

// age checks how long activities are kept.
func age(s string) (problem, advice string) {
	if _, err := activity.ParseAge(s); err != nil {
		return "expected an age of activities", "write whole days, weeks, months or years: 400d, 8w, 13m, 2y; at most 100y, or forever"
	}
	return "", ""
}

// kindAge is age for one kind; "" is that of all.
func kindAge(s string) (problem, advice string) {
	if s == "" {
		return "", ""
	}
	return age(s)
}

// together checks what sections say together.
func together(m *activity.Model, whole any) []error {
	c := whole.(Config)
	if c.Store.File != nil && c.Retention.Limited(m) {
		return []error{errors.New("retention: nothing is ever deleted from store.file; remove retention, and rotate the file yourself")}
	}
	return nil
}

// glob checks a pattern of file names.
func glob(s string) (problem, advice string) {
	switch {
	case s == "":
		return "the glob is empty", "name files, such as /var/log/app/*.log"
	case strings.HasSuffix(s, "/"):
		return "this names a directory", "name the files in it, such as *.log after the last /"
	case strings.ContainsRune(s, 0):
		return "there is a NUL character in the glob", "remove it"
	}
	for element := range strings.SplitSeq(s, "/") {
		if _, err := path.Match(element, ""); err != nil {
			return "the glob is not valid", `close every [ with a ], and write \[ for the character itself`
		}
	}
	return "", ""
}

// fieldName checks the name of a field to redact or not: bare, or dotted with "*" for one element.
func fieldName(s string) (problem, advice string) {
	for element := range strings.SplitSeq(s, ".") {
		if strings.TrimSpace(element) == "" {
			return "a part of the field's name is empty", "write a bare name (badge_no), or a path with * for one element (request_data.*.code)"
		}
	}
	return printable(s)
}

// detectors checks a choice of value detectors: names with commas between, a minus before one to take away.
func detectors(s string) (problem, advice string) {
	names := append([]string{"default", "none"}, redact.DetectorNames()...)
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimPrefix(strings.TrimSpace(name), "-")
		if s == "" {
			break // reported as missing
		}
		if problem, advice = oneOf(name, names, "there is no such detector"); problem != "" {
			return problem, advice
		}
	}
	return "", ""
}

func oneDetector(s string) (problem, advice string) {
	return oneOf(s, redact.DetectorNames(), "there is no such detector")
}

// condition checks the `when` of a rule.
func condition(s string) (problem, advice string) {
	if _, err := userrule.Compile(s); err != nil && s != "" {
		return err.Error(), "docs/classification.md shows how conditions are written"
	}
	return "", ""
}

// oneRule checks what the keys of a rule of pipeline.classify say together.
func oneRule(m *activity.Model, section any) []error {
	_, err := userrule.New(section.(userrule.Config), m)
	return unjoined(err)
}

// allRules checks what the rules of pipeline.classify, which are right by themselves, say together.
func allRules(m *activity.Model, section any) []error {
	_, err := userrule.CompileAll(section.(pipeline.Config).Classify, m)
	return unjoined(err)
}

func unjoined(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	return nil
}

func kindName(m *activity.Model, s string) (problem, advice string) {
	if s == "" {
		return "", ""
	}
	return oneOf(s, m.Field(activity.KindField).Values, "there is no such kind")
}

func oneOf(name string, names []string, otherwise string) (problem, advice string) {
	if slices.Contains(names, name) {
		return "", ""
	}
	if near := nearest(name, names); near != "" {
		return otherwise, "did you mean `" + near + "`?"
	}
	return otherwise, "use names of: " + strings.Join(names, ", ")
}

// redaction checks what the keys of pipeline.redact say together.
func redaction(m *activity.Model, section any) []error {
	_, err := redact.Compile(section.(redact.Config), m)
	return unjoined(err)
}

// readAPI checks what the keys of api say together.
func readAPI(_ *activity.Model, section any) []error {
	c := section.(api.Config)
	return c.Auth.Check(c.Listen)
}

func printable(s string) (problem, advice string) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "there is a control character in the text", "remove it"
	}
	return "", ""
}
