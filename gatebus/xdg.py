"""Where a person's and a host's files are: the XDG base directories; a wire, because it asks the environment.

In:  variables. Out: paths; nothing is made or read here.

    $XDG_CONFIG_HOME/gatebus   config.toml (of `gatebus run`), host.toml, authorized_keys, hosts.toml, id_ed25519
    $XDG_STATE_HOME/gatebus    a host's key, modules and records
    $XDG_RUNTIME_DIR/gatebus   host.sock
"""

import os
from pathlib import Path


def config_directory() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gatebus"


def state_directory() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gatebus"


def socket_path() -> Path:
    """Where there is no runtime directory, beside the host's data."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) / "gatebus" if runtime else state_directory()) / "host.sock"


def host_config_path() -> Path:
    return config_directory() / "host.toml"


def authorized_keys_path() -> Path:
    return config_directory() / "authorized_keys"


def hosts_path() -> Path:
    """The hosts that a person has logged in to."""
    return config_directory() / "hosts.toml"


def user_key_path() -> Path:
    return config_directory() / "id_ed25519"
