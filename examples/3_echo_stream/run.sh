#!/bin/sh
set -eu
cd "$(dirname "$0")"
make --silent -C ..
printf 'first\nsecond\n' | gatebus run ../../build/guests/3_echo_stream.wasm
