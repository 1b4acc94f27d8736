"""The browser's library: its pure modules under node, its types under TypeScript, and what is served of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from required import require

from gatebus.browser.assets import read_assets

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "gatebus" / "browser"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus"
TSC = CACHE / "browser-tools" / "node_modules" / ".bin" / "tsc"


def test_the_pure_modules_pass_their_own_tests_in_node() -> None:
    require(shutil.which("node"), "node is not installed: make browser-tools")
    ran = subprocess.run(["node", "--test", str(HERE / "words.test.mjs")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "# pass 14\n" in ran.stdout


def test_a_users_typescript_compiles_against_the_declarations() -> None:
    require(TSC.exists(), "typescript is not installed: make browser-tools")
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]
    ran = subprocess.run([TSC, *options, HERE / "types_sample.ts"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_everything_that_a_served_file_imports_is_served() -> None:
    assets = read_assets()
    for address, asset in assets.items():
        if address.endswith(".js"):
            folder = address.rpartition("/")[0]
            for line in asset.content.decode().splitlines():
                if line.startswith(("import ", "export ")) and " from " in line:
                    target = line.rsplit(" from ", 1)[1].strip("'\";")
                    resolved = os.path.normpath(target if target.startswith("/") else f"{folder}/{target}")
                    assert resolved in assets, f"{address} imports {target}"


def test_nothing_but_the_table_is_served_and_the_licence_of_what_is_not_ours_is_in_it() -> None:
    assets = read_assets()
    assert assets["/vendor/cborg/LICENSE"].content.startswith(b"Copyright 2020 Rod Vagg")
    assert assets["/"].content_type == "text/html; charset=utf-8"
    assert all(b"<script>" not in asset.content and b" onclick=" not in asset.content for asset in assets.values())
    assert sum(len(asset.content) for asset in assets.values()) < 200_000
