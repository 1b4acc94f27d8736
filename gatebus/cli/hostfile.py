"""What `gatebus serve` reads before it starts: file, environment, places; a wire.

In:  flags; a file that the owner of the machine wrote. Out: the configuration with every place filled in; UsageError
with one line.
"""

import os
from dataclasses import replace
from pathlib import Path

from gatebus.bounds import CONFIG_BYTES
from gatebus.cli.serve_options import ServeOptions
from gatebus.faults import UsageError
from gatebus.host.configreader import ConfigFile, Configured, configured, setting_of, with_setting
from gatebus.host.hostconfig import HostConfig
from gatebus.host.hostsettings import PATHS
from gatebus.xdg import authorized_keys_path, host_config_path, socket_path, state_directory

IDENTITY = "identity"


def read_host_config(options: ServeOptions) -> Configured:
    """Raises UsageError."""
    found = configured(_read_file(options.config), dict(os.environ), options.flags)
    config, given = found.config, found.sources
    if "data" not in given or config.data is None:
        config = replace(config, data=str(state_directory()))
    if "socket" not in given:
        config = replace(config, socket=str(socket_path()))
    if "authorized_keys" not in given:
        config = replace(config, authorized_keys=str(authorized_keys_path()))
    return replace(found, config=_expanded(config))


def _expanded(config: HostConfig) -> HostConfig:
    """`~` is the home directory wherever a path is written: no shell has read the file, nor the end of `--flag=~/x`."""
    for path in PATHS:
        if isinstance(value := setting_of(config, path), str):
            config = with_setting(config, path, os.path.expanduser(value))
    return config


def _read_file(named: str | None) -> ConfigFile | None:
    path = Path(named) if named else host_config_path()
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_BYTES + 1).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path.name}: it must be a text file.") from None
    except FileNotFoundError:
        if named:
            raise UsageError(f"The configuration {named} cannot be read: no such file or directory.") from None
        return None
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise UsageError(f"The configuration {path} cannot be read: {reason}.") from None
    return ConfigFile(path.name, text)
