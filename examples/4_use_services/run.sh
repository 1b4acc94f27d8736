#!/bin/sh
set -eu
cd "$(dirname "$0")"
make --silent -C ..
exec gatebus run ../../build/guests/4_use_services.wasm </dev/null
