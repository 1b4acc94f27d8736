#!/bin/sh
set -eu
cd "$(dirname "$0")"
exec gatebus run hello.wat
