#!/usr/bin/env bash
# The compiler of `make lint`: clippy, which has to go through all of rustc. What it makes is thrown away, so that no time
# goes into making it fast; and cargo takes it for the release profile, whose engine is there already. In bash: other
# shells drop variables with a hyphen in their names, such as those by which cargo tells a test of its executable.
exec clippy-driver "$@" -C opt-level=0
