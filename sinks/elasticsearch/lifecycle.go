package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/truledgr/activity-agent/activity"
)

// A life is what becomes of the indices of a kind as they age, in days; 0 is never.
type life struct {
	kind         activity.Kind
	policy       string // its name
	period       string
	warm, delete int
}

// lives returns the lives of the kinds that have one. Ages count from the beginning of an index's period, or its creation
// where the cluster does not know that, which is no earlier. So the length of the period is added: the last record of it
// is kept as long as was asked for.
func (c Config) lives(m *activity.Model, days func(activity.Kind) int) (out []life) {
	if days == nil {
		days = func(activity.Kind) int { return 0 }
	}
	warm, _ := activity.ParseAge(c.WarmAfter) // validated
	to := c.target(m)
	for _, k := range m.Kinds() {
		l := life{kind: k, policy: to.prefix + "-" + m.Family(k), period: to.periods[k], warm: warm}
		length := map[string]int{"day": 1, "week": 7}[l.period]
		if length == 0 {
			length = 31
		}
		if kept := days(k); kept > 0 && c.Expiry == ExpiryCluster {
			l.delete = kept + length
		}
		if l.warm += length; warm == 0 || l.delete > 0 && l.warm >= l.delete {
			l.warm = 0
		}
		if l.warm > 0 || l.delete > 0 {
			out = append(out, l)
		}
	}
	return out
}

// component is the name of the template with the settings of l. They are in a component of their own, since the users'
// own component (@custom) comes after it and wins.
func (l life) component() string { return l.policy + "-lifecycle" }

// templates returns the policy, and the component template that names it.
func (l life) templates(flavor string) []Template {
	if flavor == FlavorOpenSearch {
		return []Template{l.ism()}
	}
	settings := object{"name": l.policy}
	if l.period == "day" {
		settings["parse_origination_date"] = true // of names that end with yyyy.MM.dd; others make it an error
	}
	return []Template{l.ilm(), template("component_template", l.component(), object{
		"template": object{"settings": object{"index": object{"lifecycle": settings}}},
	})}
}

// ilm is the policy as Elasticsearch takes it. It has no action that makes an index read-only (forcemerge, shrink): late
// records and amendments are still written.
func (l life) ilm() Template {
	phases := object{"hot": object{"actions": object{"set_priority": object{"priority": 100}}}}
	if l.warm > 0 { // to warm nodes, where there are any, by the action "migrate", which is in every warm phase
		phases["warm"] = object{"min_age": inDays(l.warm), "actions": object{"set_priority": object{"priority": 50}}}
	}
	if l.delete > 0 {
		phases["delete"] = object{"min_age": inDays(l.delete), "actions": object{"delete": object{}}}
	}
	t := template("ilm_policy", l.policy, object{"phases": phases})
	t.Body = encode(object{"policy": t.Body})
	return t
}

// ism is the policy as OpenSearch takes it, which has no warm nodes.
func (l life) ism() Template {
	hot := object{"name": "hot", "actions": []object{}, "transitions": []object{}}
	states := []object{hot}
	if l.delete > 0 {
		hot["transitions"] = []object{{"state_name": "delete", "conditions": object{"min_index_age": inDays(l.delete)}}}
		states = append(states, object{"name": "delete", "actions": []object{{"delete": object{}}}, "transitions": []object{}})
	}
	policy := object{
		"default_state": "hot", "states": states,
		"ism_template": []object{{"index_patterns": []string{l.policy + "-*"}, "priority": len(l.policy)}},
	}
	print := fingerprint(policy)
	policy["description"] = "managed by activity-agent, " + print // a policy has no _meta
	return Template{"ism_policy", l.policy, encode(object{"policy": policy}), print}
}

func inDays(n int) string { return strconv.Itoa(n) + "d" }

// adopt gives indices that are there a life: they have the policy, if they have none, and know when their period began, so
// that one that was made late does not stay for longer. It leaves alone those with a policy of somebody else's.
func (c *client) adopt(ctx context.Context, to target, lives []life) (done []Change, err error) {
	names, err := c.indices(ctx, "look for indices without a life cycle", to.prefix)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		for _, l := range lives {
			since, _, ours := to.covers(name, to.model.Family(l.kind))
			if !ours {
				continue
			}
			set, err := c.missingSettings(ctx, name, l, since)
			if err != nil {
				return done, err
			}
			did := "unchanged"
			if len(set) > 0 {
				did = "updated"
				op := "set the life cycle of the index " + name
				if _, err := c.call(ctx, op, esapi.IndicesPutSettingsRequest{Index: []string{name}, Body: bytes.NewReader(encode(set))}); err != nil {
					return done, err
				}
			}
			done = append(done, Change{Template{Kind: "index", Name: name}, did})
		}
	}
	return done, nil
}

func (c *client) missingSettings(ctx context.Context, index string, l life, since time.Time) (object, error) {
	const op = "look at the settings of an index"
	answer, err := c.call(ctx, op, esapi.IndicesGetSettingsRequest{Index: []string{index}, Name: []string{"index.lifecycle.*"}})
	if err != nil {
		return nil, err
	}
	var got map[string]struct {
		Settings struct {
			Index struct {
				Lifecycle struct {
					Name        string `json:"name"`
					Origination string `json:"origination_date"`
					Parse       string `json:"parse_origination_date"`
				} `json:"lifecycle"`
			} `json:"index"`
		} `json:"settings"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return nil, fmt.Errorf("%s: %w", op, errAnswer)
	}
	has, set := got[index].Settings.Index.Lifecycle, object{}
	if has.Name != "" && has.Name != l.policy {
		return nil, nil
	}
	if has.Name == "" {
		set["index.lifecycle.name"] = l.policy
	}
	if has.Origination == "" && has.Parse != "true" {
		set["index.lifecycle.origination_date"] = since.UnixMilli()
	}
	return set, nil
}

// policies returns the fingerprints of the policies that are there, by name; absent where the cluster has no life cycles.
func (c *client) policies(ctx context.Context, flavor, prefix string, lives []life) (there map[string]found, absent bool, err error) {
	there = map[string]found{}
	if flavor == FlavorOpenSearch {
		for _, l := range lives {
			f, ok, absent, err := c.ismPolicy(ctx, l.policy)
			if err != nil || absent {
				return nil, absent, err
			}
			if ok {
				there["ism_policy/"+l.policy] = f
			}
		}
		return there, false, nil
	}
	const op = "look at the life-cycle policies"
	answer, err := c.call(ctx, op, esapi.ILMGetLifecycleRequest{Policy: prefix + "-*"})
	switch missing, unknown := absence(err); {
	case unknown:
		return nil, true, nil
	case missing:
		return there, false, nil
	case err != nil:
		return nil, false, err
	}
	var got map[string]struct {
		Policy meta `json:"policy"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return nil, false, fmt.Errorf("%s: %w", op, errAnswer)
	}
	for name, p := range got {
		there["ilm_policy/"+name] = found{print: p.Policy.Meta.Fingerprint}
	}
	return there, false, nil
}

func (c *client) ismPolicy(ctx context.Context, name string) (f found, ok, absent bool, err error) {
	const op = "look at the life-cycle policies"
	answer, err := c.call(ctx, op, request{method: http.MethodGet, path: "/_plugins/_ism/policies/" + name})
	switch missing, unknown := absence(err); {
	case unknown:
		return f, false, true, nil
	case missing:
		return f, false, false, nil
	case err != nil:
		return f, false, false, err
	}
	var got struct {
		Seq    int64 `json:"_seq_no"`
		Term   int64 `json:"_primary_term"`
		Policy struct {
			Description string `json:"description"`
		} `json:"policy"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return f, false, false, fmt.Errorf("%s: %w", op, errAnswer)
	}
	words := strings.Fields(got.Policy.Description)
	if len(words) > 0 {
		f.print = words[len(words)-1]
	}
	f.query = fmt.Sprintf("?if_seq_no=%d&if_primary_term=%d", got.Seq, got.Term)
	return f, true, false, nil
}

// absence tells what an error says of something that was asked for: it is not there, or the cluster does not know such
// things at all, as it is for the nodes of tests and for those distributions without the module.
func absence(err error) (missing, unknown bool) {
	var e *Error
	if !errors.As(err, &e) {
		return false, false
	}
	return e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusBadRequest
}
