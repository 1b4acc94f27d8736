"""Configuration: files, variables and flags become one HostConfig, or a fault that names where and what."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import CONFIG_BYTES, CONFIG_DOTS, PROBLEM_TEXT
from gatebus.faults import UsageError
from gatebus.host.configreader import ConfigFile, Configured, configured, key_lines
from gatebus.host.configtext import config_text
from gatebus.host.hostconfig import Address, HostConfig
from gatebus.host.hostsettings import SETTINGS, Setting
from gatebus.host.policy import EVERYTHING
from sandbox.layers import REQUIRED

MIB = 1 << 20


def read(text: str = "", variables: dict[str, str] | None = None, flags: dict[str, str] | None = None) -> Configured:
    return configured(ConfigFile("host.toml", text), variables or {}, flags or {})


def fault(text: str = "", variables: dict[str, str] | None = None, flags: dict[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        read(text, variables, flags)
    return caught.value.text


def leaves(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every value of a configuration, by the names that lead to it."""
    if not is_dataclass(value):
        return {path}
    return set().union(*(leaves(getattr(value, each.name), (*path, each.name)) for each in fields(value)))


def test_every_value_of_the_configuration_can_be_set() -> None:
    assert {each.path for each in SETTINGS.values()} == leaves(HostConfig()) - {
        path for path in leaves(HostConfig()) if path[0] == "listen" and len(path) > 1
    }


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda each: each.name)
def test_every_setting_says_what_it_means_and_has_a_name_of_its_own(setting: Setting) -> None:
    assert len(setting.help) > 15
    for each in ("variable", "flag"):
        assert [getattr(other, each) for other in SETTINGS.values()].count(getattr(setting, each)) == 1


def test_without_anything_there_are_the_defaults() -> None:
    assert configured(None, {}, {}) == Configured(HostConfig(), {})
    assert read() == Configured(HostConfig(), {})


def test_a_file_sets_values_of_all_kinds() -> None:
    config = read(
        """
        listen = ["0.0.0.0:80", "[::1]:0", "bus.example.org:6473"]
        socket = "/run/gatebus.sock"
        origins = ["https://example.org/"]
        stop_seconds = 2.5
        linger_seconds = "2m"
        log = "json"
        [policy]
        anonymous = []
        local = "all"
        [quotas.host]
        memory = "2GiB"
        instances = 7
        [limits]
        memory = "16MiB"
        wall_time = "none"
        [store]
        unpinned_bytes = 1000
        [fetch]
        gateways = ["https://example.org", "local+http://127.0.0.1:8080"]
        hourly = "1MiB"
        [snapshots]
        accept = "own"
        signers = ["SHA256:jrpE0bQl0t9sBoR4YlXkeoxWYJk1vX0rBRnBaCkGzzE"]
        [sandbox]
        backend = "portable"
        require = ["landlock"]
        spin = "50ms"
        """.replace("50ms", "0.05ms")
    ).config
    assert config.listen == (Address("0.0.0.0", 80), Address("::1", 0), Address("bus.example.org", 6473))
    assert config.socket == "/run/gatebus.sock"
    assert config.origins == {"https://example.org"}
    assert (config.stop_seconds, config.linger_seconds, config.log) == (2.5, 120.0, "json")
    assert (config.policy.anonymous, config.policy.local) == (frozenset(), EVERYTHING)
    assert (config.quotas.host.memory, config.quotas.host.instances) == (2048 * MIB, 7)
    assert config.quotas.principal == HostConfig().quotas.principal
    assert (config.limits.memory, config.limits.wall_time) == (16 * MIB, None)
    assert config.store.unpinned_bytes == 1000
    assert config.fetch.gateways == ("https://example.org", "local+http://127.0.0.1:8080")
    assert config.fetch.hourly == MIB
    assert config.snapshots.accept == "own"
    assert config.snapshots.signers == ("SHA256:jrpE0bQl0t9sBoR4YlXkeoxWYJk1vX0rBRnBaCkGzzE",)
    assert config.sandbox.require == tuple(
        name for name in ("user", "pid", "mount", "network", "capabilities", "seccomp", "landlock", "rlimits")
    )
    assert set(REQUIRED) < set(config.sandbox.require)
    assert config.sandbox.spin == pytest.approx(0.00005)


def test_variables_win_over_the_file_and_flags_over_variables() -> None:
    text, variables, flags = "log = 'json'\npool = 1".replace("pool = 1", ""), {"GATEBUS_LOG": "text"}, {"log": "auto"}
    assert read(text).config.log == "json"
    assert read(text, variables).config.log == "text"
    assert read(text, variables, flags).config.log == "auto"
    assert read(text, variables, flags).sources == {"log": "--log"}
    assert read(text, variables).sources == {"log": "GATEBUS_LOG"}
    assert read(text).sources == {"log": "host.toml, line 1"}


def test_lists_are_written_with_commas_where_there_are_none() -> None:
    variables = {"GATEBUS_LISTEN": "127.0.0.1:1, [::1]:2", "GATEBUS_POLICY_ANONYMOUS": "call,upload"}
    config = read("", variables).config
    assert config.listen == (Address("127.0.0.1", 1), Address("::1", 2))
    assert config.policy.anonymous == {"call", "upload"}
    assert read("", {}, {"listen": ""}).config.listen == ()


def test_an_address_is_written_as_it_is_read() -> None:
    assert [str(each) for each in (Address("::1", 1), Address("127.0.0.1", 2))] == ["[::1]:1", "127.0.0.1:2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\nlog = 'loud'", "host.toml, line 2: `log` is 'loud'; it must be auto or json or text."),
        (
            "[quotas.host]\n\ninstances = 'many'",
            "host.toml, line 3: `quotas.host.instances` is 'many'; it must be a whole number from 0 to 1000000.",
        ),
        (
            "[quotas]\nhost = { instances = -1 }",
            "host.toml, line 2: `quotas.host.instances` is '-1'; it must be a whole number from 0 to 1000000.",
        ),
        (
            "quotas.host.memory = 'x'",
            "host.toml, line 1: `quotas.host.memory` is 'x'; it must be a size such as \"64MiB\" or a number of bytes.",
        ),
        (
            "stop_seconds = true",
            "host.toml, line 1: `stop_seconds` is 'True'; it must be a time from 0 s to 600 s, such as \"10s\".",
        ),
        (
            "listen = ['127.0.0.1']",
            "host.toml, line 1: `listen` is \"['127.0.0.1']\"; "
            "it must be addresses such as 127.0.0.1:6473 or [::1]:6473.",
        ),
        ("socket = 3", "host.toml, line 1: `socket` is '3'; it must be a text."),
        (
            "[policy]\nkey = ['fly']",
            "host.toml, line 2: `policy.key` is \"['fly']\"; it must be a list of call, launch, io ..., "
            'or "all"; there is no `fly`.',
        ),
        (
            "[limits]\nmemory = 1",
            "host.toml, line 2: `limits.memory` is '1'; it must be 65536 to 4294967296 bytes.",
        ),
        (
            "[limits]\nstack = '1MiB'",
            "host.toml, line 2: `limits.stack` is '1MiB'; it must be 262144 bytes or 8388608 bytes.",
        ),
        (
            "origins = ['example.org']",
            'host.toml, line 1: `origins` is "[\'example.org\']"; it must be origins such as ["https://example.org"].',
        ),
        (
            "[snapshots]\nsigners = ['SHA256:short']",
            "host.toml, line 2: `snapshots.signers` is \"['SHA256:short']\"; it must be at most 256 of SHA256:..., as "
            "`gatebus key` shows it at the host that signs.",
        ),
        (
            "[fetch]\ngateways = ['http://127.0.0.1']",
            "host.toml, line 2: `fetch.gateways` is \"['http://127.0.0.1']\"; it must be at most 16 of https://HOST, "
            "local+http://HOST:PORT, node+http://HOST:PORT.",
        ),
        ("log = ['json']", "host.toml, line 1: `log` is \"['json']\"; it must be auto or json or text."),
        ("[log]\na = 1", "host.toml, line 1: `log` is \"{'a': 1}\"; it must be auto or json or text."),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_it_must_be(text: str, problem: str) -> None:
    assert fault(text) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lisen = []", "host.toml, line 1: there is no setting `lisen`. Did you mean `listen`?"),
        (
            "[quotas.host]\ninstance = 1",
            "host.toml, line 2: there is no setting `quotas.host.instance`. Did you mean `quotas.host.instances`?",
        ),
        ("\n[tsl]\nkey = ''", "host.toml, line 2: there is no setting `tsl`. Did you mean `tls`?"),
        (
            "zzz = 1",
            "host.toml, line 1: there is no setting `zzz`. `gatebus serve --print-config` shows all.",
        ),
        ("quotas = 3", "host.toml, line 1: `quotas` is a part with settings of its own. Write [quotas]."),
        ("[listen.x]", 'host.toml, line 1: `listen` is "{\'x\': {}}"; it must be a list of texts, such as ["a", "b"].'),
    ],
)
def test_a_wrong_key_is_named_with_its_line_and_the_one_that_is_meant(text: str, problem: str) -> None:
    assert fault(text) == problem


def test_a_file_that_is_no_toml_says_where() -> None:
    assert fault("listen = [\n'a'") == "host.toml: it is no TOML: unclosed array (at the end, line 2)."
    assert (
        fault("a b") == "host.toml: it is no TOML: expected '=' after a key in a key/value pair (at line 1, column 3)."
    )


def test_a_file_that_is_too_large_or_too_deep_is_refused() -> None:
    assert fault("#" * (CONFIG_BYTES + 1)).startswith("host.toml: it is larger than a configuration can be")
    deep = fault("a = " + "[" * 20_000 + "]" * 20_000)
    assert deep == "host.toml: it has tables that are nested too deeply."


def test_a_key_of_many_dots_does_not_take_the_memory_of_the_machine() -> None:
    assert fault(".".join("a" * 100_000) + " = 1") == f"host.toml: it has more than {CONFIG_DOTS} dots in line 1."
    assert "there is no setting `a`" in fault(".".join("a" * 100) + " = 1")


def test_a_number_that_nobody_can_mean_is_told() -> None:
    assert fault("stop_seconds = " + "9" * 5_000) == "host.toml: it has a number that is too long."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("stop_seconds = 1\nstop_seconds = 2", "it is no TOML: cannot overwrite a value"),
        ("[quotas.host]\n[quotas.host]", "it is no TOML: cannot declare ('quotas', 'host') twice"),
        ("stop_seconds = 1\rlisten = []", "it is no TOML: expected newline or end of document"),
    ],
)
def test_a_key_that_is_there_twice_and_hidden_lines_are_told(text: str, problem: str) -> None:
    assert fault(text).startswith(f"host.toml: {problem}")


def test_lines_of_windows_and_a_mark_before_the_first_one_are_taken() -> None:
    text = "\ufeffstop_seconds = 1\r\nlisten = []\r\n"
    assert configured(ConfigFile("host.toml", text), {}, {}).config.stop_seconds == 1


def test_a_variable_that_is_nearly_right_is_a_slip_and_others_are_none_of_ours() -> None:
    assert (
        fault("", {"GATEBUS_LISTENS": "x"})
        == "GATEBUS_LISTENS: there is no such variable. Did you mean GATEBUS_LISTEN?"
    )
    assert read("", {"GATEBUS_DEBUG": "1", "GATEBUS_IPFS_STORE": "/x", "GATEBUS_FUZZ_SECONDS": "1"}).sources == {}


def test_a_wrong_variable_or_flag_is_named() -> None:
    must = "it must be auto or json or text."
    assert fault("", {"GATEBUS_LOG": "x"}) == f"GATEBUS_LOG: `log` is 'x'; {must}"
    assert fault("", {}, {"log": "x"}) == f"--log: `log` is 'x'; {must}"


def test_a_certificate_needs_its_key() -> None:
    assert fault("[tls]\nkey = 'k'") == "host.toml, line 2: `tls.key` needs `tls.certificate` too."
    assert fault("", {}, {"tls.certificate": "c"}) == "--tls-certificate: `tls.certificate` needs `tls.key` too."
    assert read("tls = {key = 'k', certificate = 'c'}").config.tls.key == "k"


def test_a_default_limit_is_never_more_than_the_most() -> None:
    assert fault("[most]\nmemory = '1MiB'") == (
        "host.toml, line 2: `limits.memory` (67108864) is more than `most.memory` (1048576). Change one of them."
    )
    assert fault("[limits]\ncpu_time = 3600") == (
        "host.toml, line 2: `limits.cpu_time` (3600) is more than `most.cpu_time` (600.0). Change one of them."
    )
    assert fault("[limits]\nwall_time = 'none'\n[most]\nwall_time = 5").startswith(
        "host.toml, line 4: `limits.wall_time`"
    )


def test_the_line_of_a_key_is_found_in_all_ways_to_write_it() -> None:
    lines = key_lines('a = 1\n[b]\n  c = 2\n["d".e]\n"f" = 3\ng.h = 4\n# i = 5\n[b.x]\na=1')
    assert lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("d", "e"): 4,
        ("d", "e", "f"): 5,
        ("d", "e", "g", "h"): 6,
        ("b", "x"): 8,
        ("b", "x", "a"): 9,
    }


def test_what_is_printed_is_a_configuration_that_means_the_same() -> None:
    changed = read(
        "listen = []\nlog='text'\n[limits]\nwall_time='none'\n[policy]\nkey=['call']\n[sandbox]\nspin=0.0001",
        {},
        {"data": "/d"},
    )
    for each in (Configured(HostConfig(), {}), changed):
        printed = config_text(each.config, each.sources)
        assert read(printed).config == each.config
    assert 'data = "/d"  # directory of the host\'s key, modules and records; one host only (--data)' in printed
    assert "(host.toml, line 2)" in printed


def test_what_is_printed_names_every_setting() -> None:
    printed = config_text(HostConfig(), {})
    there = tomllib.loads(printed)
    for setting in SETTINGS.values():
        value: Any = there
        for part in setting.path:
            value = value.get(part, {})
        assert value != {} or f"# {setting.path[-1]} =" in printed, setting.name


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_configuration_or_a_fault_of_one_line(text: str) -> None:
    try:
        config = read(text).config
    except UsageError as problem:
        told = problem.text
    else:
        told = str(config.log)
    assert len(told) <= PROBLEM_TEXT
    assert told.isprintable()


values = st.one_of(st.integers(), st.booleans(), st.text(max_size=20), st.lists(st.integers(), max_size=2), st.floats())


@given(st.sampled_from(sorted(SETTINGS)), values)
def test_whatever_stands_behind_a_key_is_taken_or_named(name: str, value: object) -> None:
    written = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    try:
        taken = read(f"{name} = {written}").sources
    except UsageError as problem:
        told = problem.text
    else:
        told = f"host.toml, line 1: `{name}`" if name in taken else ""
    assert told.startswith(("host.toml, line 1: ", "host.toml: it is no TOML"))


@pytest.mark.parametrize("port", [-1, 1 << 16, 99_999])
def test_an_address_of_whoever_embeds_a_host_has_a_port_that_there_is(port: int) -> None:
    with pytest.raises(UsageError) as caught:
        Address("127.0.0.1", port)
    assert caught.value.text == f"The port is {port}; it must be 0 to 65535."
