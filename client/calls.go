package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

// CreateActivity logs something that somebody did, of no more special kind. It returns the id under which it is stored.
// This and the other calls return as soon as the activity is queued. Errors are ErrFull, ErrClosed, and what is wrong with
// an activity that cannot be sent.
func (c *Client) CreateActivity(ctx context.Context, a Activity) (id string, err error) {
	return c.log(ctx, activity.Plain, &a, &a.ID, &a.Timestamp)
}

// LogAPITransaction logs a request that this application answered.
func (c *Client) LogAPITransaction(ctx context.Context, a APITransaction) (id string, err error) {
	return c.log(ctx, activity.APITransaction, &a, &a.ID, &a.Timestamp)
}

// LogDataAccess logs a reading of data.
func (c *Client) LogDataAccess(ctx context.Context, a DataAccess) (id string, err error) {
	return c.log(ctx, activity.DataAccess, &a, &a.ID, &a.Timestamp)
}

// LogDataChanges logs a change of data.
func (c *Client) LogDataChanges(ctx context.Context, a DataChange) (id string, err error) {
	return c.log(ctx, activity.DataChange, &a, &a.ID, &a.Timestamp)
}

// LogAuthEvent logs a login, a logout, or another event of authentication.
func (c *Client) LogAuthEvent(ctx context.Context, a AuthEvent) (id string, err error) {
	return c.log(ctx, activity.AuthEvent, &a, &a.ID, &a.Timestamp)
}

// LogExternalAPI logs a call of another service.
func (c *Client) LogExternalAPI(ctx context.Context, a ExternalAPI) (id string, err error) {
	return c.log(ctx, activity.ExternalAPI, &a, &a.ID, &a.Timestamp)
}

// LogSystemEvent logs an event of the system, such as a start or an error.
func (c *Client) LogSystemEvent(ctx context.Context, a SystemEvent) (id string, err error) {
	return c.log(ctx, activity.SystemEvent, &a, &a.ID, &a.Timestamp)
}

// log queues an activity. record points to it, id and at into it.
func (c *Client) log(ctx context.Context, k activity.Kind, record any, id *string, at *time.Time) (string, error) {
	if *id == "" {
		*id = ulid.Make().String()
	} else if given, err := ulid.ParseStrict(*id); err != nil {
		return "", c.reject(fmt.Errorf("client: the ID of the activity is no ULID: %w", err))
	} else {
		*id = given.String()
	}
	if at.IsZero() {
		*at = time.Now()
	}
	*at = at.UTC()
	line, err := encode(k, record)
	if err != nil {
		return "", c.reject(err)
	}
	if len(line) > c.c.MaxRecordBytes {
		return "", c.reject(fmt.Errorf("client: an activity of %d bytes is more than the %d that are allowed", len(line), c.c.MaxRecordBytes))
	}
	if err := c.queue.put(ctx, line, c.c.Block); err != nil {
		c.complain("there is no room in the queue, or it is closed: activities are dropped")
		return "", err
	}
	return *id, nil
}

// reject counts an activity that cannot be sent.
func (c *Client) reject(err error) error {
	c.queue.reject()
	c.complain(err.Error())
	return err
}

// encode returns the line of a record. What JSON cannot say in it is left out, or named by its type where it is free.
func encode(k activity.Kind, record any) ([]byte, error) {
	line, err := marshal(record)
	if err != nil {
		salvage(reflect.ValueOf(record).Elem())
		if line, err = marshal(record); err != nil {
			return nil, fmt.Errorf("client: the activity cannot be written as JSON: %w", err)
		}
	}
	head := `{"kind":"` + k.String() + `",`
	return append([]byte(head), line[1:]...), nil
}

// marshal is json.Marshal, but for HTML, and for methods of the application that panic.
func marshal(v any) (line []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a method panicked while it was encoded: %T", p)
		}
	}()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), newline), err
}

func salvage(record reflect.Value) {
	for i := range record.NumField() {
		field := record.Field(i)
		if _, err := marshal(field.Interface()); err == nil {
			continue
		}
		if field.Kind() == reflect.Interface {
			field.Set(reflect.ValueOf(fmt.Sprintf("<%T>", field.Interface())))
		} else {
			field.SetZero()
		}
	}
}
