#!/usr/bin/env bash
# The compiler of `make lint`: clippy, which has to go through all of rustc. What it makes is thrown away: libraries are made
# without optimizing, of programs and tests no code is made at all, but of those that build others. Cargo takes it for the
# release profile, whose engine is there already. In bash: other shells drop variables with a hyphen in their names, such as
# those by which cargo tells a test of its executable.
words=("$@")
case " $* " in
*" --crate-name build_script_"*) ;;
*" --test "* | *" --crate-type bin "*) words=("${words[@]/#--emit=dep-info,link/--emit=dep-info,metadata}") ;;
esac
exec clippy-driver "${words[@]}" -C opt-level=0
