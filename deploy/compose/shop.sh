#!/bin/sh
# An application: it writes a line every second, and starts a new file when one has 10,000.
trap 'exit 0' TERM
log=/var/log/app/shop.log
n=0
while true; do
  n=$((n + 1))
  printf '{"time":"%s","level":"info","msg":"request done","method":"GET","path":"/orders/%d","status_code":%d,"duration_ms":%d,"user_id":"u-%d"}\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" $((n % 5)) $((n % 17 == 0 ? 500 : 200)) $((n * 7919 % 400)) $((n % 7)) >>"$log"
  [ $((n % 10000)) -ne 0 ] || mv "$log" "$log.1"
  sleep 1 & wait $!
done
