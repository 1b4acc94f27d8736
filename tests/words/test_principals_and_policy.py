"""Who asks, who may do what, and whose things are whose."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gatebus.host.policy import EVERYTHING, OPERATIONS, STRANGERS, Policy, own
from gatebus.host.principals import Kind, Principal, anonymous, by_key, local
from gatebus.host.refusals import CODES, Refusal
from gatebus.sshkeys import fingerprint

ADA = by_key(b"a" * 32, "ada")
SOMEBODY = anonymous("1")
HERE = local(1000, "root")


def refused(principal: Principal, operation: str, policy: Policy | None = None) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        (policy or Policy()).check(principal, operation)
    return caught.value.code, caught.value.text


def test_a_principal_is_called_by_what_it_proved() -> None:
    assert ADA.id == f"key:{fingerprint(b'a' * 32)}"
    assert ADA.id.startswith("key:SHA256:")
    assert HERE.id == "local:1000"
    assert SOMEBODY.id == "anonymous:1"


def test_the_name_of_a_key_is_shown_and_never_compared() -> None:
    assert by_key(b"a" * 32, "not ada") == ADA
    assert by_key(b"b" * 32, "ada") != ADA
    assert ADA.shown == f"ada ({ADA.id})"
    assert by_key(b"a" * 32).shown == ADA.id


def test_two_strangers_are_two_principals_with_one_account() -> None:
    assert anonymous("1") != anonymous("2")
    assert anonymous("1").account == anonymous("2").account == "anonymous"
    assert ADA.account == ADA.id
    assert HERE.account == HERE.id


def test_two_users_of_the_machine_are_two_principals() -> None:
    assert local(1) != local(2)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_keys_and_local_users_may_do_everything(operation: str) -> None:
    Policy().check(ADA, operation)
    Policy().check(HERE, operation)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_strangers_may_only_what_does_not_stay(operation: str) -> None:
    if operation in STRANGERS:
        Policy().check(SOMEBODY, operation)
    else:
        code, text = refused(SOMEBODY, operation)
        assert code == "forbidden"
        assert text.startswith("Whoever has not shown a key may not ")
        assert text.endswith(" Connect with a key that it knows.")


def test_strangers_never_launch_list_or_kill_by_default() -> None:
    assert not STRANGERS & {"launch", "list", "kill", "pin", "unpin", "delete", "status", "wait", "events", "modules"}


def test_a_refusal_says_what_and_what_to_do() -> None:
    assert refused(SOMEBODY, "launch") == (
        "forbidden",
        "Whoever has not shown a key may not start a program that goes on without its caller (launch) at this host. "
        "Connect with a key that it knows.",
    )
    assert refused(ADA, "kill", Policy(key=EVERYTHING - {"kill"})) == (
        "forbidden",
        "You may not kill an instance (kill) at this host. Ask whoever runs it.",
    )


def test_a_stranger_is_not_sent_for_a_key_that_would_not_help() -> None:
    _, text = refused(SOMEBODY, "kill", Policy(key=STRANGERS))
    assert text == "You may not kill an instance (kill) at this host. Ask whoever runs it."


@pytest.mark.parametrize("name", ["", "Call", "call ", "launch\0", "x" * 10_000])
def test_an_operation_that_does_not_exist_is_a_bad_request_for_everybody(name: str) -> None:
    for principal in (ADA, HERE, SOMEBODY):
        code, text = refused(principal, name)
        assert (code, text) == ("bad-request", "There is no such operation. `features` lists those that there are.")


def test_the_policy_can_be_configured_for_each_kind() -> None:
    policy = Policy(anonymous=frozenset({"launch"}), local=frozenset(), key=frozenset({"call"}))
    policy.check(SOMEBODY, "launch")
    assert refused(SOMEBODY, "call", policy)[0] == "forbidden"
    assert refused(HERE, "features", policy)[0] == "forbidden"
    assert {kind: policy.allowed(Principal(kind, "x")) for kind in Kind} == {
        Kind.ANONYMOUS: {"launch"},
        Kind.LOCAL: set(),
        Kind.KEY: {"call"},
    }


@dataclass
class Thing:
    owner: str


def test_ones_own_thing_is_found() -> None:
    thing = Thing(ADA.id)
    assert own(thing, ADA, "instance") is thing


@pytest.mark.parametrize("thing", [None, Thing(HERE.id), Thing("anonymous:2"), Thing("anonymous"), Thing("")])
def test_somebody_elses_thing_is_answered_like_one_that_is_not_there(thing: Thing | None) -> None:
    for principal in (ADA, SOMEBODY):
        with pytest.raises(Refusal) as caught:
            own(thing, principal, "instance")
        assert (caught.value.code, caught.value.text) == (
            "not-found",
            "There is no such instance, or it is not yours.",
        )


def test_a_refusal_has_a_code_of_the_protocol() -> None:
    with pytest.raises(AssertionError):
        Refusal("made-up", "x")
    assert "forbidden" in CODES
