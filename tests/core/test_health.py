"""/metrics, /livez and /readyz over HTTP, and the log line's form."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from streams import logs
from streams.health import HealthServer
from streams.settings import LoyaltyError


def serving(test: Callable[[str, dict[str, list[str]]], Awaitable[None]], token: str = "") -> None:
    """Run `test` with the address of a server and what is wrong with the worker behind it."""

    async def go() -> None:
        registry = CollectorRegistry()
        Counter("loyalty_things", "Things.", registry=registry).inc(3)
        wrong: dict[str, list[str]] = {"live": [], "ready": []}

        async def not_ready() -> list[str]:
            return wrong["ready"]

        server = HealthServer(registry, lambda: wrong["live"], not_ready, token)
        await server.start("127.0.0.1", 0)
        try:
            await test(f"http://127.0.0.1:{server.port}", wrong)
        finally:
            await server.stop()

    asyncio.run(go())


async def get(url: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


def test_metrics_come_as_text_or_as_openmetrics_where_asked_for() -> None:
    async def test(base: str, wrong: dict[str, list[str]]) -> None:
        status, kind, text = await get(f"{base}/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert "loyalty_things_total 3.0" in text
        status, kind, text = await get(f"{base}/metrics", Accept="application/openmetrics-text")
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")

    serving(test)


@pytest.mark.parametrize(("path", "key"), [("livez", "live"), ("readyz", "ready")])
def test_a_probe_is_200_while_all_is_well_and_503_with_what_is_wrong(path: str, key: str) -> None:
    async def test(base: str, wrong: dict[str, list[str]]) -> None:
        assert (await get(f"{base}/{path}"))[::2] == (200, "ok\n")
        wrong[key] = ["one thing", "another"]
        assert (await get(f"{base}/{path}"))[::2] == (503, "one thing\nanother\n")

    serving(test)


def test_a_taken_port_is_named_with_the_setting() -> None:
    async def test(base: str, wrong: dict[str, list[str]]) -> None:
        async def ready() -> list[str]:
            return []

        with pytest.raises(LoyaltyError, match=r"LOYALTY_METRICS is 127\.0\.0\.1:\d+: the address is taken"):
            await HealthServer(CollectorRegistry(), lambda: [], ready).start("127.0.0.1", int(base.rpartition(":")[2]))

    serving(test)


def test_with_a_token_every_request_needs_it() -> None:
    token = "correct-horse-battery"

    async def test(base: str, wrong: dict[str, list[str]]) -> None:
        for path in ("metrics", "livez", "readyz", "nothing-here"):
            for sent in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}", token,
                         "Bearer \u00e9\u00e9"):  # fmt: skip
                status, _, text = await get(f"{base}/{path}", **({"Authorization": sent} if sent else {}))
                assert (status, text) == (401, "a token is needed\n"), sent
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert (await get(f"{base}/livez", Authorization=f"{scheme} {token}"))[0] == 200
        status, _, text = await get(f"{base}/metrics", Authorization=f"Bearer {token}")
        assert status == 200
        assert token not in text
        assert (await get(f"{base}/nothing-here", Authorization=f"Bearer {token}"))[0] == 404

    serving(test, token)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "metrics.example"])
def test_without_a_token_it_listens_on_this_machine_alone(host: str) -> None:
    async def ready() -> list[str]:
        return []

    async def go() -> None:
        with pytest.raises(LoyaltyError, match="which others reach: set LOYALTY_METRICS_TOKEN"):
            await HealthServer(CollectorRegistry(), lambda: [], ready).start(host, 0)
        open_to_all = HealthServer(CollectorRegistry(), lambda: [], ready, "correct-horse-battery")
        await open_to_all.start("0.0.0.0", 0)
        await open_to_all.stop()

    asyncio.run(go())


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from streams import health

    seen: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(health.hmac, "compare_digest", lambda given, want: seen.append((given, want)) or False)

    async def test(base: str, wrong: dict[str, list[str]]) -> None:
        assert (await get(f"{base}/metrics", Authorization="Bearer some-other-token"))[0] == 401

    serving(test, "correct-horse-battery")
    assert seen == [(b"some-other-token", b"correct-horse-battery")]


def test_a_log_line_is_one_line_whatever_the_message_holds_and_others_chatter_comes_once_in_a_while() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up("INFO", stream)
        logging.getLogger("loyalty.x").warning('a "quoted"\nmessage')
        for _ in range(3):
            logging.getLogger("aiokafka.x").error("broker is away")
        logging.getLogger("aiokafka.x").info("chatter")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("loyalty.x").exception("it failed")
    finally:
        root.handlers[:], root.level = before
    lines = stream.getvalue().splitlines()
    assert [line.split(" ")[1] for line in lines] == ["level=warning", "level=error", "level=error"]
    assert json.loads(lines[0].partition("msg=")[2]) == 'a "quoted"\nmessage'
    assert "boom" in lines[2].partition("error=")[2]


def test_as_json_each_line_is_an_object_with_the_fields_that_the_caller_named() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up("INFO", stream, "json")
        logging.getLogger("loyalty.x").warning(
            'a "quoted"\nmessage \x1b[31m', extra={"partition": 3, "customer": "anna"}
        )
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("loyalty.x").exception("it failed")
    finally:
        root.handlers[:], root.level = before
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {name: first[name] for name in first if name != "ts"} == {
        "level": "warning", "logger": "loyalty.x", "msg": 'a "quoted"\nmessage \x1b[31m', "partition": 3,
    }  # fmt: skip
    assert "boom" in second["error"]
    assert "\x1b" not in stream.getvalue()
