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
  # As the image of Debian does it: no packages and lists are kept, and no pages of manuals.
  echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin"; };' >"$work/debian/etc/apt/apt.conf.d/clean"
  printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$work/debian/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$work"/debian/usr/share/{doc,man,locale}/* "$work"/debian/var/cache/apt/* "$work"/debian/var/lib/apt/lists/*
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
  # Of an image, in MB. Torch itself takes 560 for processors, and 5,300 with CUDA.
  most=2500
  compare_engines='python3 -c "
import numpy as np
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.registry import get_model
model = get_model(\"unet-mobilenetv2-l2a\")
scene = np.random.default_rng(0).random((1, len(model.bands), 256, 256), np.float32)
one, other = (get_engine(model, name, \"f32\")(scene) for name in (\"torch\", \"openvino\"))
assert np.abs(one - other).max() < 1e-3
print(\"torch gives the probabilities that OpenVINO gives\")"'
  [ -n "$index" ] || most=8000
  if [ -n "$index" ] && ! python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1] + "/torch/", timeout=20)' "$index" 2>/dev/null; then
    echo "The index of torch cannot be reached: an empty package stands for torch."
    index=file:///torch
    most=1750
    compare_engines=true
    rm -rf "$work/torch"
    python3 docker/placeholder.py "$work/torch"
    volumes+=(--volume "$work/torch:/torch:ro" --volume "$work/torch/torch.txt:/src/torch.txt:ro")
  fi
}

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' odc_cleansat/_version.py)
build() {
  local begun=$SECONDS
  images bud --quiet --format docker --layers --pull-never --target "$1" --tag "cleansat-$1" "${volumes[@]}" \
    --build-arg BASE=localhost/debian:trixie --build-arg "TORCH_INDEX=$index" --build-arg "VERSION=$version" --file docker/Dockerfile . \
    >"$work/build-$1.log" 2>&1 || { tail -40 "$work/build-$1.log"; exit 1; }
  echo "$1: built in $((SECONDS - begun)) s"
}

# config_of CONTAINER FIELD: what an image says of itself.
config_of() {
  images inspect --format "{{.Docker.Config.$2}}" "$1"
}

# in_image TARGET SCRIPT: run a shell script in an image, as its user, in which only /tmp and /masks can be written.
in_image() {
  local container place variables
  container=$(images from --pull-never "localhost/cleansat-$1")
  place=$(images mount "$container")
  variables=$(images inspect --format '{{range .Docker.Config.Env}}{{.}}{{"\n"}}{{end}}' "$container")
  test "$(config_of "$container" User)" = cleansat
  for label in title=odc-cleansat "version=$version" licenses=Apache-2.0; do
    grep --quiet --fixed-strings "org.opencontainers.image.${label%%=*}:${label#*=}" <<<"$(config_of "$container" Labels)"
  done
  size=$(du -sm "$place" | cut -f1)
  echo "$1: $size MB"
  test "$size" -le "$most" || { echo "That is more than $most MB."; exit 1; }
  if [ -n "$index" ] && [ -n "$(find "$place" -xdev -name 'libcud*' -print -quit)" ]; then
    echo "There are libraries of CUDA in it."
    exit 1
  fi
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
  entrypoint cleansat demo --stop --out /masks/demo
  '"$compare_engines"

build worker
in_image worker '
  cd /tmp
  entrypoint dask scheduler --port 8786 --dashboard-address :8787 --host 127.0.0.1 & scheduler=$!
  entrypoint dask-worker tcp://127.0.0.1:8786 --nthreads 1 --no-dashboard --local-directory /tmp & worker=$!
  python3 -c "
from distributed import Client
with Client(\"tcp://127.0.0.1:8786\", timeout=60) as client:
    client.wait_for_workers(1, timeout=60)
    import odc_cleansat
    assert client.submit(lambda: __import__(\"odc_cleansat\").__version__).result(60) == odc_cleansat.__version__
"
  kill $worker $scheduler'

build app
# The command of the health check, for a shell.
health=$(python3 - docker/Dockerfile <<'END'
import json, re, shlex, sys
print(shlex.join(json.loads(re.search(r"HEALTHCHECK .*\\\n *CMD (.*)", open(sys.argv[1]).read())[1])))
END
)
in_image app '
  cd /tmp
  entrypoint cleansat app --host 0.0.0.0 --store /masks --no-datacube --stac http://127.0.0.1:9 & app=$!
  for _ in $(seq 120); do
    '"$health"' 2>/dev/null && break
    sleep 1
  done
  '"$health"'
  kill $app
  wait $app || true'
echo "The images are right."
