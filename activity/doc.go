// Package activity is the model: the kinds of activity, the one table of their fields, and their identity.
//
// Everything that must agree about a document is derived from the table in field.go: accessors, validation, the JSON
// Schemas, the SQLite columns, the Elasticsearch mappings and docs/fields.md. The package imports nothing of ours.
package activity
