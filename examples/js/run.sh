#!/bin/sh
# Builds the interpreter when it is not there yet (about a minute), then runs the script.
set -eu
cd "$(dirname "$0")"
make --silent
exec gatebus run hello.js Ada
