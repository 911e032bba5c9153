#!/usr/bin/env bash
# Build the images and try them, without a container engine: as root on Debian, with `apt-get install buildah debootstrap`.
#   make image-test
#   TORCH_INDEX= make image-test             with CUDA, which takes 40 GB of disk
#   WORK=/var/tmp/images make image-test     keeps what was built, so that the next time is faster
# Debian comes from debootstrap. The images run as the user without rights, on a root file system that is read-only.
# Where the index of torch cannot be reached, an empty package stands for torch: no mask needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${WORK:-}" ]; then
  work=$WORK
  mkdir -p "$work"
else
  work=$(mktemp --directory --tmpdir cleansat-images-XXXXXX)
  trap 'rm -rf "$work"' EXIT
fi
# Layers share their files where the machine can do it; else each layer is a copy of all below it.
mkdir -p "$work"/probe/{low,up,own,all}
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
if mount -t overlay none -o "lowerdir=$work/probe/low,upperdir=$work/probe/up,workdir=$work/probe/own" "$work/probe/all" 2>/dev/null; then
  umount "$work/probe/all"
  STORAGE_DRIVER=overlay
fi
images() { buildah --root "$work/store" --runroot "$work/run" "$@"; }

make_base() {
  if images inspect localhost/debian:trixie >/dev/null 2>&1; then
    return
  fi
  rm -rf "$work/debian"
  debootstrap --variant=minbase trixie "$work/debian" >"$work/debootstrap.log"
  local container
  container=$(images from scratch)
  images add --quiet "$container" "$work/debian" /
  images config --env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$container"
  images commit --quiet --rm "$container" localhost/debian:trixie
  rm -rf "$work/debian"
}

choose_torch() {
  # Packages are fetched with the certificates of this machine, which may have a proxy of its own.
  printf '[global]\ncert = /certificates.crt\n' >"$work/pip.conf"
  volumes=(--volume "$work/pip.conf:/etc/pip.conf:ro" --volume /etc/ssl/certs/ca-certificates.crt:/certificates.crt:ro)
  index=${TORCH_INDEX-$(sed -n 's/^ARG TORCH_INDEX=//p' docker/Dockerfile)}
  if [ -n "$index" ] && ! python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1] + "/torch/", timeout=20)' "$index" 2>/dev/null; then
    echo "The index of torch cannot be reached: an empty package stands for torch."
    index=file:///torch
    python3 docker/placeholder.py "$work/torch"
    volumes+=(--volume "$work/torch:/torch:ro")
  fi
}

build() {
  images bud --quiet --format docker --layers --pull-never --target "$1" --tag "cleansat-$1" "${volumes[@]}" \
    --build-arg BASE=localhost/debian:trixie --build-arg "TORCH_INDEX=$index" --file docker/Dockerfile . \
    >"$work/build-$1.log" 2>&1 || { tail -40 "$work/build-$1.log"; exit 1; }
}

# in_image TARGET SCRIPT: run a shell script in an image, as its user, in which only /tmp and /masks can be written.
in_image() {
  local container place variables
  container=$(images from --pull-never "localhost/cleansat-$1")
  place=$(images mount "$container")
  variables=$(images inspect --format '{{range .Docker.Config.Env}}{{.}}{{"\n"}}{{end}}' "$container")
  test "$(images inspect --format '{{.Docker.Config.User}}' "$container")" = cleansat
  echo "$1: $(du -sm "$place" | cut -f1) MB"
  PLACE=$place VARIABLES=$variables SCRIPT=$2 unshare --mount --pid --fork bash -euc '
    mount --make-rprivate /
    mount --bind "$PLACE" "$PLACE"
    mount --options remount,ro,bind "$PLACE"
    mount --types tmpfs --options mode=1777 none "$PLACE/tmp"
    mount --types tmpfs --options uid=10001,gid=10001 none "$PLACE/masks"
    mount --types proc proc "$PLACE/proc"
    mount --rbind /dev "$PLACE/dev"
    mapfile -t variables <<<"$VARIABLES"
    exec chroot --userspec=10001:10001 "$PLACE" /usr/bin/env -i HOME=/home/cleansat "${variables[@]}" sh -euc "$SCRIPT"'
  images rm "$container" >/dev/null
}

make_base
choose_torch

build cli
in_image cli '
  cd /masks
  test "$(id -u)" = 10001
  ! touch /written 2>/dev/null
  entrypoint cleansat doctor
  entrypoint cleansat demo --out /masks/demo
  entrypoint cleansat demo --stop --out /masks/demo'

build worker
in_image worker '
  cd /tmp
  entrypoint dask scheduler --port 8786 --dashboard-address :8787 --host 127.0.0.1 & scheduler=$!
  entrypoint dask worker tcp://127.0.0.1:8786 --nthreads 1 --no-dashboard --local-directory /tmp & worker=$!
  python3 -c "
from distributed import Client
with Client(\"tcp://127.0.0.1:8786\", timeout=60) as client:
    client.wait_for_workers(1, timeout=60)
    import odc_cleansat
    assert client.submit(lambda: __import__(\"odc_cleansat\").__version__).result(60) == odc_cleansat.__version__
"
  kill $worker $scheduler'

build app
in_image app '
  cd /tmp
  entrypoint cleansat app --host 0.0.0.0 --store /masks --no-datacube --stac http://127.0.0.1:9 & app=$!
  for _ in $(seq 120); do
    python3 -c "import urllib.request as r; r.urlopen(\"http://127.0.0.1:8501/alive\", timeout=4)" 2>/dev/null && break
    sleep 1
  done
  python3 -c "import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:8501/alive\").read())"
  kill $app
  wait $app || true'
echo "The images are right."
