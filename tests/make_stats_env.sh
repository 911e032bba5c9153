#!/usr/bin/env bash
# Make the environment in which the tests run odc-stats, datacube-ows and odc-apps-dc-tools:
#
#   tests/make_stats_env.sh [folder]      .venv-stats by default; PYTHON names the interpreter
#
# odc-stats wants GDAL's Python bindings, which pip compiles against the GDAL of the system. As root on
# Debian that is installed too. Torch is left out, several gigabytes that masking does without here.
set -euo pipefail
cd "$(dirname "$0")/.."

# All of it takes three minutes on two cores; the rest is for a slow network.
if [ -z "${BOUNDED:-}" ]; then
  BOUNDED=1 exec timeout --kill-after=10 1200 bash "tests/$(basename "$0")" "$@"
fi

venv=${1:-.venv-stats}
made="$(cat "$0" setup.cfg | sha256sum)"
if [ "$(cat "$venv/made" 2>/dev/null)" = "$made" ]; then
  echo "$venv is there."
  exit 0
fi

if ! command -v gdal-config >/dev/null || ! command -v pg_config >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "GDAL's headers are missing; as root: apt-get install g++ libgdal-dev libpq-dev" >&2
    exit 1
  fi
  apt-get update --quiet --quiet
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends \
    g++ libgdal-dev libpq-dev >/dev/null
fi

"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" - >"$venv/requirements.txt" <<'END'
import configparser

config = configparser.ConfigParser()
config.read("setup.cfg")
for line in config["options"]["install_requires"].split("\n"):
    if not line.startswith(("torch", "segmentation-models-pytorch", "ukis-csmask")):
        print(line)
END
# Two steps, for asked for all at once pip tries the releases of dask and of AWS's clients one after another.
"$venv/bin/pip" install --quiet odc-stats "gdal==$(gdal-config --version).*" \
  "datacube-ows[webserver]" odc-apps-dc-tools
# Without rfc3987 each program spends 2.5 s on the grammar of another parser (setup.cfg tells more).
"$venv/bin/pip" install --quiet --requirement "$venv/requirements.txt" rfc3987
# The weights come as data; what their package would import is not needed.
"$venv/bin/pip" install --quiet --no-deps "$(grep -o 'ukis-csmask *==.*' setup.cfg | tr -d ' ')" --editable .
echo "$made" >"$venv/made"
echo "$venv is made."
