#!/bin/bash
# Makes an EC2 machine a server or a worker. The user data of cleansat.yaml has unpacked the release into /opt/cleansat.
#   REGION=... STORE=s3://bucket/prefix HOST=masks.example.org WORKERS=2 machine.sh server
#   REGION=... STORE=s3://bucket/prefix SCHEDULER=tcp://10.0.0.5:8786 WORKERS=8 machine.sh worker
# STEPS names some of the steps, for tests.
set -euo pipefail
cd /opt/cleansat
export DEBIAN_FRONTEND=noninteractive
: "${REGION:?}" "${STORE:?}" "${WORKERS:?}"
store() { aws --region "$REGION" "$@"; }
services() { docker compose --file compose.yaml --file deploy/aws/compose.aws.yaml "$@"; }

packages() {
  apt-get update --quiet
  apt-get install --yes --quiet --no-install-recommends docker.io docker-cli docker-compose docker-buildx curl unattended-upgrades
}

# Session Manager, in place of SSH. Debian's images lack its agent.
agent() {
  curl --fail --silent --show-error --output /tmp/agent.deb \
    "https://s3.$REGION.amazonaws.com/amazon-ssm-$REGION/latest/debian_$(dpkg --print-architecture)/amazon-ssm-agent.deb"
  dpkg --install /tmp/agent.deb
  rm /tmp/agent.deb
}

settings() ( # in a shell of its own, for its files are closed
  address=$(hostname --all-ip-addresses | cut --delimiter ' ' --fields 1)
  umask 077
  printf '%s\n' "CLEANSAT_HOST=${HOST:?}" "CLEANSAT_ADDRESS=$address" "CLEANSAT_STORE=$STORE/masks" \
    "CLEANSAT_WORKERS=$WORKERS" "AWS_DEFAULT_REGION=$REGION" >.env
  # The folder is closed; the file in it is read by the services, who have no rights.
  mkdir -p secrets
  if [ ! -s secrets/database ]; then
    head -c 24 /dev/urandom | base64 | tr -d '/+\n' >secrets/database
    chmod 644 secrets/database
  fi
)

# Each night a copy of the database goes to the bucket.
copies() {
  cat >/etc/systemd/system/cleansat-copy.service <<UNIT
[Unit]
Description=Copy of the datacube's database
After=docker.service

[Service]
Type=oneshot
WorkingDirectory=/opt/cleansat
ExecStart=/bin/bash -c 'set -o pipefail; docker compose exec --no-TTY database pg_dump --username cleansat --format custom datacube | aws --region $REGION s3 cp - $STORE/copies/\$\$(date +%%Y-%%m-%%d).dump'
UNIT
  cat >/etc/systemd/system/cleansat-copy.timer <<UNIT
[Unit]
Description=Each night

[Timer]
OnCalendar=*-*-* 02:30
RandomizedDelaySec=30m
Persistent=true

[Install]
WantedBy=timers.target
UNIT
}

start() {
  systemctl daemon-reload
  systemctl enable --now docker cleansat-copy.timer
  services up --build --detach
}

# So that workers on other machines need not build it.
publish() {
  docker save cleansat-worker | gzip -1 | store s3 cp - "$STORE/images/worker.tar.gz"
}

work() {
  systemctl enable --now docker
  until store s3 cp "$STORE/images/worker.tar.gz" - | docker load; do
    echo "The server has not built the image yet; again in 30 s."
    sleep 30
  done
  docker run --detach --restart unless-stopped --name worker --network host --read-only --tmpfs /tmp \
    --cap-drop ALL --security-opt no-new-privileges --env AWS_DEFAULT_REGION="$REGION" --env CLEANSAT_THREADS=2 \
    cleansat-worker dask worker "${SCHEDULER:?}" --nworkers "$WORKERS" --nthreads 1 --no-dashboard --local-directory /tmp \
    --worker-port 9000:9099 --nanny-port 9100:9199
}

case "${1:-}" in
  server) steps="packages agent settings copies start publish" ;;
  worker) steps="packages agent work" ;;
  *) echo "usage: $0 server|worker" >&2; exit 2 ;;
esac
for step in ${STEPS:-$steps}; do
  echo "cleansat: $step"
  "$step"
done
