#!/usr/bin/env bash
# tests/quietly.sh NAME COMMAND...: a part of `make test`. At a terminal as it is. Where nobody watches, or another part
# is watched (QUIET), a line or two when it succeeds, and the end of what it said when it does not: the log of a build
# service shows little of a long output.
set -uo pipefail
name=$1
shift
[ -t 1 ] && [ -z "${QUIET-}" ] && exec "$@"
log=$PWD/build/logs/${name// /-}.txt
mkdir -p "${log%/*}"
SECONDS=0
if "$@" >"$log" 2>&1; then
  if grep -q '^test result: ' "$log"; then
    awk -v name="$name" '/^test result: / { passed += $4; ignored += $8 } END { print name ": " passed " passed, " ignored " ignored" }' "$log"
  else
    tail -n 1 "$log"
  fi
  echo "$name: $SECONDS s"
else
  code=$?
  tail -c 3500 "$log"
  echo "FAILED: $name, exit code $code after $SECONDS s; everything that was said: build/logs/${log##*/}"
  exit "$code"
fi
