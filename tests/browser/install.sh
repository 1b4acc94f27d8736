#!/usr/bin/env bash
# What the tests in a real browser need besides Python: Debian's Chromium, and TypeScript for the type declarations.
# usage: install.sh CACHE_DIRECTORY. Where it may not install (no root, no apt, no npm) it says so and the tests skip.
set -euo pipefail
tools=$1/browser-tools
if ! command -v chromium >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium for the browser tests"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null ||
      echo "chromium could not be installed: the browser tests will be skipped"
  else
    echo "no chromium here, and no right to install it: the browser tests will be skipped (sudo apt-get install chromium)"
  fi
fi
if command -v npm >/dev/null && [ ! -x "$tools/node_modules/.bin/tsc" ]; then
  echo "installing typescript for the check of gatebus.d.ts"
  npm install --silent --no-audit --no-fund --prefix "$tools" typescript@5 || echo "typescript could not be installed: the types will not be checked"
fi
