#!/usr/bin/env bash
# Builds Kubo, the usual IPFS node, for the tests that talk to a real one: 3 minutes on two cores, 85 MB that stay.
# usage: build.sh CACHE_DIRECTORY; the program is CACHE_DIRECTORY/kubo/ipfs. Without Go it says so and the tests skip.
#
# `go install` cannot build it since 0.40 (exclude directives), so this folder is a module whose only tool it is; go.sum
# says what may be downloaded. What a build leaves in Go's caches, 1.3 GB, is of no use to anybody else and is removed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kubo=$1/kubo
built_from=$(cat "$here/go.mod" "$here/go.sum" "$here/build.sh" | cksum)
if [ -x "$kubo/ipfs" ] && [ "$(cat "$kubo/built-from" 2>/dev/null)" = "$built_from" ]; then exit 0; fi
if ! command -v go >/dev/null; then
  echo "no Go here: the tests with a real IPFS node will be skipped (https://go.dev/dl, then: make kubo)"
  exit 0
fi
echo "building Kubo for the tests with a real IPFS node (about 3 minutes, once; it stays in $kubo)"
mkdir -p "$kubo"
work=$(mktemp -d "$kubo/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOCACHE=$work/cache GOMODCACHE=$work/modules GOFLAGS=-modcacherw CGO_ENABLED=0 GOWORK=off
# Of 1.27 one of its dependencies says that it knows nothing; any Go since 1.21 fetches the one that fits.
case $(go env GOVERSION) in go1.26.*) ;; *) export GOTOOLCHAIN=go1.26.5 ;; esac
cd "$here"
if go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$work/ipfs" github.com/ipfs/kubo/cmd/ipfs 2>"$work/told"; then
  "$work/ipfs" version
  mv "$work/ipfs" "$kubo/ipfs"
  echo "$built_from" >"$kubo/built-from"
else
  tail -20 "$work/told"
  echo "Kubo could not be built: the tests with a real IPFS node will fail where none may be skipped"
fi
