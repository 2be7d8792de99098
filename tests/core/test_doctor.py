"""What `loyalty doctor` says of servers, clocks, rights and packages, by what these say of themselves."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from schemas import topics
from sinks.probing import CALLS, Ahead
from streams import probing, versions
from streams.cli import doctor
from streams.roles import Role, roles
from streams.settings import LoyaltyError, Settings, UsageError
from streams.topics_admin import Found, miscounted

SETTINGS = Settings.from_env({"LOYALTY_DATA_DIR": "nowhere"})

WELL = {
    "version": "7.2.4", "memory_policy": "noeviction", "append_only": True, "used_memory": 100 << 20, "max_memory": 0,
    "keys": 3, "role": "master", "append_failed": False, "append_fsync": "everysec",
}  # fmt: skip


def wrong(monkeypatch: pytest.MonkeyPatch, **told: Any) -> list[str]:
    monkeypatch.setattr("infra.localstack.redis.facts", lambda url: WELL | told)
    rows = doctor._redis_rows(SETTINGS)
    return [f"{row['what']}: {row['wrong']}" for row in rows if row["wrong"]]


def test_a_redis_as_it_should_be_has_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch) == []
    assert wrong(monkeypatch, max_memory=1 << 30) == []


@pytest.mark.parametrize(("told", "says"), [
    ({"version": "6.0.16"}, "redis: needs 6.2 or newer"),
    ({"memory_policy": "allkeys-lru"}, "redis maxmemory-policy: must be noeviction"),
    ({"append_only": False}, "redis persistence: must be appendonly yes"),
    ({"append_failed": True}, "redis persistence: the last write to the append-only file failed"),
    ({"max_memory": 110 << 20}, "redis memory: is nearly full"),
    ({"role": "slave"}, "redis role: is a replica"),
])  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], says: str
) -> None:
    (line,) = wrong(monkeypatch, **told)
    assert line.startswith(says)


def role(name: str) -> Role:
    return next(role for role in roles(SETTINGS) if role.name == name)


@pytest.mark.parametrize(("key", "of", "said"), [
    ("", None, ["none"]), ("", "worker", ["none"]), ("a secret", "worker", []), ("", "pos", []),
])  # fmt: skip
def test_who_makes_marks_of_the_erased_needs_a_key_for_them(key: str, of: str | None, said: list[str]) -> None:
    settings = Settings.from_env({"LOYALTY_DATA_DIR": "nowhere", "LOYALTY_ERASE_KEY": key})
    rows = doctor._security_rows(settings, None if of is None else role(of))
    found = [row for row in rows if row["what"] == "erase key" and row["wrong"]]
    assert [row["found"] for row in found] == said
    assert all("LOYALTY_ERASE_KEY" in row["wrong"] for row in found)


def test_a_topic_of_a_count_of_its_own_is_not_told_to_have_the_programmes() -> None:
    assert "it must have 1" in miscounted(topics.POLICIES, 12, 1)
    assert "LOYALTY_PARTITIONS=12" in miscounted(topics.PURCHASES, 12, 6)


def test_a_login_named_as_a_role_is_asked_for_that_roles_rights_and_another_by_role() -> None:
    as_ops = Settings.from_env(
        {"LOYALTY_KAFKA_SECURITY": "SASL_SSL", "LOYALTY_KAFKA_USER": "ops", "LOYALTY_KAFKA_PASSWORD": "x"}
    )
    assert [found and found.name for found in (doctor.role_of(None, as_ops), doctor.role_of("pos", as_ops))] == [
        "ops", "pos",
    ]  # fmt: skip
    assert doctor.role_of(None, SETTINGS) is None
    with pytest.raises(UsageError, match="one of worker, pos, subscriber, reader, console, ops"):
        doctor.role_of("boss", SETTINGS)


def test_every_command_that_a_role_may_give_can_be_asked_for() -> None:
    assert {command for role in roles(SETTINGS) for command in role.redis_commands} <= set(CALLS)


def test_what_a_role_lacks_is_named_with_the_thing_that_it_lacks_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "missing", lambda kafka, role: {"topic ticks": ["READ", "WRITE"]})
    (row,) = doctor._rights_rows(SETTINGS, role("worker"))
    assert row["wrong"].startswith("lacks READ, WRITE on topic ticks; give")
    total = sum(len(grant.operations) for grant in role("worker").kafka)
    assert row["found"] == f"{total - 2} of the {total} that worker needs"
    monkeypatch.setattr(probing, "missing", lambda kafka, role: {})
    (row,) = doctor._rights_rows(SETTINGS, role("worker"))
    assert row["wrong"] == ""
    (row,) = doctor._rights_rows(SETTINGS, None)
    assert (row["wrong"], "see --role" in row["found"]) == ("", True)


@pytest.mark.parametrize(("ahead", "says"), [
    (Ahead(4_999, 0), ""),
    (Ahead(-5_200, 300), ""),  # it may be the network
    (Ahead(5_500, 100), "is 5.5 s ahead of this host's"),
    (Ahead(-90_000, 100), "is 90.0 s behind this host's"),
])  # fmt: skip
def test_a_clock_is_wrong_when_no_network_could_explain_it(ahead: Ahead, says: str) -> None:
    wrong = doctor._clock_row("kafka clock", ahead)["wrong"]
    assert wrong.startswith(says)
    assert bool(wrong) is bool(says)


def test_a_clock_is_read_between_asking_and_answer() -> None:
    assert Ahead.between(1_000, 1_700, 1_200) == Ahead(600, 100)
    assert Ahead(600, 100).least_ms == 500
    assert Ahead(-50, 100).least_ms == 0


def test_who_may_not_ask_for_the_time_sees_at_least_that_ticks_come_from_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(tick_ms: int | None) -> list[dict[str, Any]]:
        monkeypatch.setattr(probing, "ahead", lambda *of: None)
        monkeypatch.setattr(probing, "newest_tick_ms", lambda kafka: tick_ms)
        return list(doctor._kafka_clock_rows(SETTINGS))

    assert rows(None)[0]["found"] == "not told to this login"
    assert rows(5)[0]["wrong"] == ""
    (row,) = rows(4_000_000_000_000)
    assert "ahead of this host's" in row["wrong"]


def test_a_topic_that_is_none_of_the_roles_need_not_be_seen() -> None:
    unseen = Found(topics.TICKS, 0, ("is missing",))
    assert doctor._topic_row(unseen, role("pos"))["wrong"] == ""
    for who in (None, role("worker"), role("ops")):
        assert doctor._topic_row(unseen, who)["wrong"] == "is missing"
    seen = doctor._topic_row(Found(topics.PURCHASES, 3, ()), role("pos"))
    assert seen["found"] == "3 partitions, settings not told to this login"


def test_packages_are_compared_with_what_the_project_asks_for() -> None:
    have = {"a": "1.4", "b": "2.0"}

    def version(name: str) -> str:
        if name not in have:
            raise PackageNotFoundError(name)
        return have[name]

    wanted = ["a>=1.2", "b==1.*", "c>=1", "d>=9; extra == 'study'", "e>=9; python_version < '3'"]
    number, lines = versions.compared(wanted, version)
    assert number == 3
    assert [line.partition(":")[0] for line in lines] == ["b is 2.0, needs ==1.*", "c is missing"]
    assert versions.packages()[1] == []
    assert versions.python_wrong() == ""


def test_a_broker_that_does_not_answer_is_one_wrong_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(kafka: object) -> None:
        raise LoyaltyError("away")

    monkeypatch.setattr("streams.topics_admin.cluster", silent)
    assert [row["wrong"] for row in doctor._kafka_rows(SETTINGS, role("worker"))] == ["away"]
