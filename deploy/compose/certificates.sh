#!/bin/bash
# Makes an authority and two certificates in /certs, once, and gives the volumes to who writes them. Runs in Elasticsearch's
# image, as root.
set -euo pipefail
umask 027
chown 65532:65532 /logs /keys
chmod 0750 /logs
cd /certs
if [ ! -s ca.crt ]; then
  bin=/usr/share/elasticsearch/bin/elasticsearch-certutil
  "$bin" ca --silent --pem --out ca.zip
  unzip -qjo ca.zip -d .
  cat >instances.yml <<END
instances:
  - name: elasticsearch
    dns: [elasticsearch, localhost]
    ip: [127.0.0.1]
  - name: kibana
    dns: [kibana, localhost]
    ip: [127.0.0.1]
END
  "$bin" cert --silent --pem --in instances.yml --ca-cert ca.crt --ca-key ca.key --out certs.zip
  unzip -qjo certs.zip -d .
  rm -f ./*.zip ca.key # nobody makes another certificate
fi
# Elasticsearch and Kibana run as user 1000, group 0; ours need the authority's certificate alone.
chmod 0755 /certs
chown 1000:0 ./*.key && chmod 0440 ./*.key
chmod 0444 ./*.crt
