#!/bin/bash
# Sets Kibana's password and makes three API keys in /keys, each with the privileges of docs/elasticsearch.md. Runs in
# Elasticsearch's image, as root. The passwords are read by curl from a file that goes with the container.
set -euo pipefail
umask 077
printf 'user = "elastic:%s"\ncacert = "/certs/ca.crt"\nsilent\nshow-error\nfail\nheader = "Content-Type: application/json"\n' \
  "$ELASTIC_PASSWORD" >/tmp/curl
es() { curl --config /tmp/curl --request "$1" "https://elasticsearch:9200$2" --data "$3"; }

es POST /_security/user/kibana_system/_password "{\"password\":\"$KIBANA_PASSWORD\"}" >/dev/null

# key FILE ROLE: a key of that role, in place of the one before.
key() {
  es DELETE /_security/api_key "{\"name\":\"activity-agent-$1\",\"owner\":true}" >/dev/null || true # there was none
  es POST /_security/api_key "{\"name\":\"activity-agent-$1\",\"role_descriptors\":{\"$1\":$2}}" |
    sed -n 's/.*"encoded":"\([^"]*\)".*/\1/p' >"/keys/$1.new"
  [ -s "/keys/$1.new" ]
  chown 65532:65532 "/keys/$1.new"
  chmod 0400 "/keys/$1.new"
  mv "/keys/$1.new" "/keys/$1"
}
key setup '{"cluster":["manage_index_templates"]}'
key writer '{"indices":[{"names":["activities-*","activities"],"privileges":["create_doc","auto_configure"]}]}'
# It records who read what others did, and amends.
key reader '{"indices":[{"names":["activities-*","activities"],"privileges":["read","view_index_metadata","create_doc","index","auto_configure"]}]}'
