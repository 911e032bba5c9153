#!/usr/bin/env bash
# Make the environment with the command line of AWS, which tests call against a server on this machine:
#
#   tests/make_aws_env.sh [folder]      .venv-aws by default; PYTHON names the interpreter
#
# It has a botocore of its own, which would not go together with that of s3fs.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv-aws}
if [ -x "$venv/bin/aws" ]; then
  echo "$venv is there."
  exit 0
fi
"${PYTHON:-python3}" -m venv "$venv"
timeout 600 "$venv/bin/pip" install --quiet 'awscli>=1.32'
echo "$venv is made."
