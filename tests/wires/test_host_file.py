"""What `gatebus serve` reads before it starts: the places that its owner writes."""

from pathlib import Path

import pytest

from gatebus.cli.hostfile import read_host_config
from gatebus.cli.serve_options import serve_options
from gatebus.host.configreader import setting_of
from gatebus.host.hostsettings import PATHS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_every_path_may_begin_at_home_wherever_it_is_written(
    path: tuple[str, ...], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = {("tls", "certificate"): ("key",), ("tls", "key"): ("certificate",)}.get(path, ())
    lines = [f'{name} = "~/there/it is"' for name in (path[-1], *beside)]
    (home / "file").write_text("\n".join([f"[{path[0]}]"] * (len(path) > 1) + lines))
    config = read_host_config(serve_options(["--config", str(home / "file")])).config
    assert setting_of(config, path) == f"{home}/there/it is"
    monkeypatch.setenv("GATEBUS_" + "_".join(path).upper(), "~/of the environment")
    config = read_host_config(serve_options(["--config", str(home / "file")])).config
    assert setting_of(config, path) == f"{home}/of the environment"


def test_a_path_that_begins_elsewhere_and_one_that_is_none_stay(home: Path) -> None:
    (home / "file").write_text('socket = ""\n[gateway]\nstore = "blocks/~"\n')
    config = read_host_config(serve_options(["--config", str(home / "file")])).config
    assert (config.socket, config.gateway.store, config.tls.key) == (None, "blocks/~", None)
