package amend

import (
	"bytes"
	"encoding/json"
)

// Merge applies a merge patch (RFC 7396) to a JSON object: members of the patch replace those of the object, objects are merged
// member by member, and null takes a member away. redacted is what the pipeline made of the patch, without its nulls: values
// come from there alone. old may be nil. The result is nil where nothing is left.
func Merge(old, patch, redacted json.RawMessage) (json.RawMessage, error) {
	into, err := object(old)
	if err != nil {
		return nil, err
	}
	p, err := object(patch)
	if err != nil {
		return nil, err
	}
	safe, err := object(redacted)
	if err != nil {
		return nil, err
	}
	if into = merge(into, p, safe); len(into) == 0 {
		return nil, nil
	}
	return encode(into)
}

func merge(into, patch, redacted map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, v := range patch {
		if v == nil {
			delete(into, name)
		}
		// An object that is empty, or of nulls alone, is nothing that the pipeline keeps. It replaces what is no object, and where
		// there was nothing, nothing comes: its name has not been through the pipeline.
		asked, isObject := v.(map[string]any)
		if before, there := into[name]; isObject && there && redacted[name] == nil {
			below, _ := before.(map[string]any)
			into[name] = merge(below, asked, nil)
		}
	}
	for name, v := range redacted {
		below, isObject := v.(map[string]any)
		if !isObject {
			into[name] = v
			continue
		}
		before, _ := into[name].(map[string]any)
		asked, _ := patch[name].(map[string]any)
		into[name] = merge(before, asked, below)
	}
	return into
}

// object decodes a JSON object, and keeps numbers as they are written.
func object(raw json.RawMessage) (m map[string]any, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return m, d.Decode(&m)
}
