#!/bin/sh
set -eu
cd "$(dirname "$0")"
make --silent -C ..
code=0
printf 'a\nb\n' | gatebus run --env LANGUAGE=C ../../build/guests/2_hello_c.wasm Ada || code=$?
echo "exit code: $code"
