#!/bin/bash
# Run the user data of a server and of a worker in a root file system of their own, with a bucket on this machine, as far as
# that goes without AWS: packages, the release out of the bucket, settings, units and services. As root on Debian:
#   make aws-test
# Session Manager's agent, the daemon of Docker and systemd are not started.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp --directory --tmpdir cleansat-aws-XXXXXX)
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$work"' EXIT
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m moto.server --host 127.0.0.1 --port "$port" >"$work/store.log" 2>&1 & server=$!

export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=eu-central-1
git archive --prefix=cleansat/ HEAD | gzip >"$work/release.tar.gz"
"$python" - "$work/release.tar.gz" <<'PYTHON'
import sys, time
import boto3
store = boto3.client("s3")
for _ in range(60):
    try:
        store.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        break
    except Exception:
        time.sleep(0.5)
store.upload_file(sys.argv[1], "ours", "masks/of/us/release.tar.gz")
PYTHON

debootstrap --variant=minbase --include=ca-certificates trixie "$work/root" >"$work/debootstrap.log"
cp /etc/resolv.conf "$work/root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"  # no service is started
chmod +x "$work/root/usr/sbin/policy-rc.d"

# What the page says to type on a machine by hand, typed by a person with sudo.
"$python" tests/pages.py "make aws-test" >"$work/root/tmp/typed"
unshare --mount --pid --fork chroot "$work/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin USER=anna bash -euc '
  mount -t proc proc /proc
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --quiet sudo >/dev/null 2>&1
  useradd --create-home anna
  echo "anna ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/anna
  runuser --user anna -- bash -euo pipefail /tmp/typed >/tmp/said 2>&1 || { tail -30 /tmp/said; exit 1; }
  id --name --groups anna | grep --word-regexp docker'

inside() {
  unshare --mount --pid --fork chroot "$work/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret STEPS="${STEPS:-}" \
    bash -euc "mount -t proc proc /proc; $1"
}
values="AWS::Region=eu-central-1 Bucket=ours Prefix=masks/of/us Host=masks.example.org Server.PrivateIp=10.0.0.5"
for machine in Server Worker; do
  # shellcheck disable=SC2086
  "$python" deploy/aws/user_data.py "${machine}Template" $values >"$work/root/root/$machine"
  echo "== $machine"
  steps="packages settings copies"
  if [ "$machine" = Worker ]; then steps=packages; fi
  STEPS=$steps inside "bash /root/$machine" >"$work/$machine.log" 2>&1 || { tail -30 "$work/$machine.log"; exit 1; }
  grep '^cleansat: ' "$work/$machine.log"
done

inside '
  cd /opt/cleansat
  test "$(stat --format %a .env secrets secrets/database | xargs)" = "600 700 644"
  grep --quiet "^CLEANSAT_STORE=s3://ours/masks/of/us/masks$" .env
  docker compose --file compose.yaml --file deploy/aws/compose.aws.yaml config --format json >/tmp/services.json
  apt-get install --yes --quiet --no-install-recommends systemd >/dev/null 2>&1
  systemd-analyze verify --man=no /etc/systemd/system/cleansat-copy.timer'
"$python" - "$work/root/tmp/services.json" <<'PYTHON'
import json, sys
services = json.load(open(sys.argv[1]))["services"]
assert set(services) == {"database", "init", "scheduler", "worker", "app"}, services.keys()
assert services["worker"]["deploy"]["replicas"] == 2
command = services["app"]["command"]
assert command[:2] == ["--store", "s3://ours/masks/of/us/masks"], command
assert command.count("--allowed-host") == 2
assert command[-1] == "X-Amzn-Oidc-Identity"
print("services:", *services)
PYTHON
echo "All is well."
