"""What `loyalty doctor` says of a Redis, by what that Redis says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli import stack
from streams.settings import Settings

WELL = {
    "version": "7.2.4", "memory_policy": "noeviction", "append_only": True, "used_memory": 100 << 20, "max_memory": 0,
    "keys": 3, "role": "master", "append_failed": False, "append_fsync": "everysec",
}  # fmt: skip


def wrong(monkeypatch: pytest.MonkeyPatch, **told: Any) -> list[str]:
    monkeypatch.setattr("infra.localstack.redis.facts", lambda url: WELL | told)
    rows = stack._redis_rows(Settings.from_env({"LOYALTY_DATA_DIR": "nowhere"}))
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
