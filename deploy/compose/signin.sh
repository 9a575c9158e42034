#!/bin/sh
# An application: somebody logs in every three seconds, not always with success. What it posts is on the agent's disk, redacted,
# when the answer comes.
trap 'exit 0' TERM
n=0
while true; do
  n=$((n + 1))
  [ $((n % 4)) -ne 0 ] && ok=true || ok=false
  wget -q -O /dev/null -T 5 --header 'Content-Type: application/json' http://127.0.0.1:8480/v1/auth-events --post-data \
    "{\"event_type\":\"login\",\"success\":$ok,\"user_id\":\"u-$((n % 7))\",\"ip_address\":\"192.0.2.$((n % 9))\",\"login_method\":\"password\"}" ||
    echo "the agent does not answer" >&2
  sleep 3 & wait $!
done
