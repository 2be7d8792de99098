"""The console's HTTP: who may, from where, what every answer carries, and that a click comes from our own page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from sinks.dead_letters import Wanted
from streams.console import actions, gets, guard, supposing
from streams.console.guard import Guard
from streams.console.live import CUSTOMERS_NEW, WHATIF_NEW, Live
from streams.console.server import Console
from streams.settings import LoyaltyError, SettingError, Settings
from tests.console import samples
from tests.console.samples import EVIL
from tests.core.test_logs import logged

TOKEN = "correct-horse-battery"
PAGES = ("/", "/risk", "/care", "/tiers", "/stream", "/what-if")


def serving(test: Callable[[str, Live], Awaitable[None]], token: str = "", read_token: str = "") -> None:
    """Run `test` with the address of a console that knows what `samples` has."""

    async def go() -> None:
        live = Live(Settings.from_env({}))
        live.survey, live.story, live.pipeline = samples.survey(), samples.story(), samples.pipeline()
        console = Console(live, Guard("127.0.0.1", 0, token, read_token))
        await console.start("127.0.0.1", 0)
        try:
            await test(f"http://127.0.0.1:{console.port}", live)
        finally:
            await live.stop()
            await console.stop()

    asyncio.run(go())


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def mark_of(session: aiohttp.ClientSession, base: str) -> str:
    async with session.get(f"{base}/care") as answer:
        found = re.search(r'name="mark" value="([0-9a-f]+)"', await answer.text())
    assert found is not None
    return found[1]


def test_every_answer_allows_nothing_from_elsewhere() -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            for path in (*PAGES, "/livez", "/nowhere", "/static/console.js", "/login"):
                async with session.get(base + path) as answer:
                    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; object-src 'none'")
                    assert "unsafe" not in answer.headers["Content-Security-Policy"]
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert answer.headers["Referrer-Policy"] == "same-origin"
                    assert answer.status == (404 if path == "/nowhere" else 200), path

    serving(test)


def test_pages_come_in_the_readers_language_or_the_one_they_chose() -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            async with session.get(base, headers={"Accept-Language": "zh-CN,en;q=0.5"}) as answer:
                assert 'lang="zh"' in await answer.text()
            form = {"mark": await mark_of(session, base), "lang": "zh", "theme": "dark", "back": "/risk"}
            async with session.post(f"{base}/choose", data=form) as answer:
                text = await answer.text()
                assert answer.url.path == "/risk"
            assert 'lang="zh" data-theme="dark"' in text

    serving(test)


def test_what_is_served_may_be_kept_only_under_its_own_mark() -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            async with session.get(base) as answer:
                found = re.search(r'src="(/static/console\.js\?v=\w+)"', await answer.text())
            assert found is not None
            for path, kept in ((found[1], "immutable"), ("/static/console.js?v=old", "no-cache")):
                async with session.get(base + path) as answer:
                    assert kept in answer.headers["Cache-Control"]
                    assert answer.content_type == "text/javascript"
            for path in ("/static/..%2fserver.py", "/static/nothing.css"):
                async with session.get(aiohttp.client.URL(base + path, encoded=True)) as answer:
                    assert answer.status == 404

    serving(test)


@pytest.mark.parametrize(
    ("named", "status"),
    [("evil.example", 421), ("127.0.0.1.evil.example:80", 421), ("localhost:99", 200), ("[::1]:80", 200), ("", 421)],
)
def test_a_name_of_another_that_points_here_is_refused(named: str, status: int) -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session, session.get(base, headers={"Host": named}) as answer:
            assert answer.status == status

    serving(test)


# ---- actions


def acting(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What actions were done, instead of doing them."""
    did: list[Any] = []

    def close(settings: Settings, reminder: str, how: str) -> actions.Written:
        did.append((reminder, how))
        if reminder == "gone":
            raise LoyaltyError("no open reminder 'gone'")
        return actions.Written(EVIL, "RISK", 3, 118)

    def retry(settings: Settings, wanted: Wanted) -> int:
        did.append(wanted)
        return 1

    monkeypatch.setattr(actions, "close", close)
    monkeypatch.setattr(actions, "retry", retry)
    return did


def test_a_click_writes_once_and_comes_back_with_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    did = acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            form = {"mark": await mark_of(session, base), "reminder": "r1", "how": "done", "back": "/care?employee=-"}
            async with session.post(f"{base}/care", data=form) as answer:
                assert answer.url.path_qs == "/care?employee=-"
                text = await answer.text()
                assert "written as contacts[3]@118" in text
                assert "<script>alert" not in text
            async with session.get(f"{base}/care") as answer:
                assert "written as" not in await answer.text()  # told once
            assert did == [("r1", "done")]
            assert live.closed["r1"][0] == "CARE"

    serving(test)


def test_the_script_is_answered_in_json_with_the_reason_where_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            form = {"mark": await mark_of(session, base), "reminder": "gone", "how": "declined"}
            async with session.post(f"{base}/care", data=form, headers={"Accept": "application/json"}) as answer:
                assert answer.status == 409
                assert await answer.json() == {"told": "no open reminder 'gone'", "failed": True}
            assert not live.closed

    serving(test)


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"mark": ""}, {}),
        ({"mark": "0" * 64}, {}),
        ({}, {"Origin": "http://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Cookie": ""}),
    ],
)
def test_an_action_from_elsewhere_does_nothing(
    change: dict[str, str], headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    did = acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            mark = await mark_of(session, base)
            if "Cookie" in headers:
                session.cookie_jar.clear()
            for path, form in (("/care", {"reminder": "r", "how": "done"}), ("/dead-letters", {"error": "BadField"})):
                sent = {"mark": mark, **form} | change
                accepts = {"Accept": "application/json", **headers}
                async with session.post(base + path, data=sent, headers=accepts) as answer:
                    assert answer.status == 403
                    assert (await answer.json())["failed"]
        assert did == []

    serving(test)


def test_another_sessions_mark_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    did = acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as one, browser() as other:
            mark = await mark_of(other, base)
            await mark_of(one, base)
            form = {"mark": mark, "reminder": "r", "how": "done"}
            async with one.post(f"{base}/care", data=form, headers={"Accept": "application/json"}) as answer:
                assert answer.status == 403
        assert did == []

    serving(test)


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "care"])
def test_nobody_is_sent_elsewhere(back: str, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            form = {"mark": await mark_of(session, base), "reminder": "r", "how": "done", "back": back}
            async with session.post(f"{base}/care", data=form, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/")

    serving(test)


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"topic": "purchases", "partition": "1", "offset": "7"}, Wanted(topic="purchases", partition=1, offset=7)),
        ({"error": "BadField"}, Wanted(error="BadField")),
        ({}, None),
        ({"topic": "purchases"}, None),
        ({"topic": "purchases", "partition": "x", "offset": "7"}, None),
    ],
)
def test_a_retry_names_what_it_is_of(
    form: dict[str, str], wanted: Wanted | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    did = acting(monkeypatch)

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            sent = {"mark": await mark_of(session, base), **form}
            async with session.post(f"{base}/dead-letters", data=sent, allow_redirects=False) as answer:
                assert answer.status == (400 if wanted is None else 303)
        assert did == ([] if wanted is None else [wanted])

    serving(test)


def test_a_server_that_is_away_is_told_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(settings: Settings) -> None:
        raise LoyaltyError(f"Kafka does not answer {EVIL}")

    monkeypatch.setattr(gets, "read_letters", away)

    async def test(base: str, live: Live) -> None:
        live.problems["pipeline"] = f"Redis does not answer {EVIL}"
        async with browser() as session:
            async with session.get(f"{base}/dead-letters") as answer:
                text = await answer.text()
                assert (answer.status, "Kafka does not answer" in text, "<script>alert" in text) == (502, True, False)
            async with session.get(base) as answer:
                assert "Redis does not answer" in await answer.text()

    serving(test)


# ---- news


def test_news_come_as_they_are_told_and_the_number_of_listeners_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.console.live.LISTENERS_MAX", 1)

    async def test(base: str, live: Live) -> None:
        async with browser() as session, session.get(f"{base}/events") as answer:
            assert answer.content_type == "text/event-stream"
            assert answer.headers["Content-Security-Policy"]
            assert await answer.content.readline() == b"retry: 2000\n"
            live.tell(CUSTOMERS_NEW)
            read = b""
            while not read.endswith(b"data: programme\n\n"):
                read += await asyncio.wait_for(answer.content.readline(), 5)
            async with session.get(f"{base}/events") as more:
                assert more.status == 503

    serving(test)


# ---- the token


def test_with_a_token_every_request_needs_it_or_a_session_that_had_it() -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            for path in (*PAGES, "/events", "/customer?id=1", "/dead-letters"):
                async with session.get(base + path) as answer:
                    assert answer.status == 401, path
                async with session.get(base + path, headers={"Authorization": "Bearer wrong-horse-battery"}) as answer:
                    assert answer.status == 401, path
            async with session.get(base, headers={"Accept": "text/html"}) as answer:
                assert answer.url.path == "/login"
            async with session.get(base, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                assert answer.status == 200
            async with session.post(f"{base}/login", data={"token": "wrong-horse-battery"}) as answer:
                assert answer.status == 403
            async with session.get(base) as answer:
                assert answer.status == 401
            async with session.post(f"{base}/login", data={"token": TOKEN}, allow_redirects=False) as answer:
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            async with session.get(base) as answer:
                assert answer.status == 200

    serving(test, TOKEN)


def test_beyond_this_machine_there_is_no_console_without_a_token() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
        with pytest.raises(LoyaltyError, match="set LOYALTY_CONSOLE_TOKEN"):
            Guard(host, 8080, "")
        assert Guard(host, 8080, TOKEN).asks


def test_a_session_is_signed_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Guard("127.0.0.1", 8080, TOKEN)
    session = ours.new_session()
    assert ours.knows_session(session)
    held, _, mark = session.rpartition(".")
    since, _, nonce = held.partition(".")
    for forged in (
        None,
        "",
        "x",
        f"{held}x.{mark}",
        f"{int(since) + 1}.{nonce}.{mark}",
        f"{held}.{'0' * 64}",
        "\udcff.1.2",
    ):
        assert not ours.knows_session(forged)
    assert not Guard("127.0.0.1", 8080, TOKEN + "x").knows_session(session)
    monkeypatch.setattr(guard, "time", lambda: int(since) + guard.LASTS_S + 1)
    assert not ours.knows_session(session)


def test_a_taken_port_is_named_with_the_setting() -> None:
    async def test(base: str, live: Live) -> None:
        port = int(base.rpartition(":")[2])
        with pytest.raises(LoyaltyError, match=r"LOYALTY_CONSOLE is 127\.0\.0\.1:\d+: the address is taken"):
            await Console(live, Guard("127.0.0.1", port, "")).start("127.0.0.1", port)

    serving(test)


# ---- what if


def test_another_policy_is_compared_once_and_the_page_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def far(what: Callable[..., Any], *arguments: Any) -> Any:
        """In place of the process of the passes."""
        if what is supposing.base_of:
            raise LoyaltyError("Redis does not answer")
        asked.append(arguments[1])
        return samples.diff()

    async def test(base: str, live: Live) -> None:
        monkeypatch.setattr(live.jobs, "_run", far)
        queue = live.listen()
        async with browser() as session:
            form = {"mark": await mark_of(session, base), "policy": "\r\n[programme]\r\nname = 1\r\n"}
            async with session.post(f"{base}/what-if", data=form) as answer:
                where = str(answer.url)
                assert "policy=" in where
            while await asyncio.wait_for(queue.get(), 5) != WHATIF_NEW:
                pass
            for _ in range(2):
                async with session.get(where) as answer:
                    text = await answer.text()
                assert "2 of 254 customers move" in text
                assert "name = 1" in text
                assert "<script>alert" not in text
            assert asked == ["[programme]\nname = 1\n"]

    serving(test)


@pytest.mark.parametrize("typed", ["x", "", "1/0", "-500", "9e9", EVIL])
def test_what_is_no_percentage_is_said(typed: str) -> None:
    async def test(base: str, live: Live) -> None:
        async with browser() as session, session.get(f"{base}/what-if", params={"shift": typed}) as answer:
            assert answer.status == 200
            assert "is no percentage" in await answer.text()

    serving(test)


LOOKS = "another-horse-battery"


def test_who_has_the_token_to_look_sees_every_page_and_acts_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "close", lambda *of: pytest.fail("done by who may only look"))
    monkeypatch.setattr(actions, "retry", lambda *of: pytest.fail("sent by who may only look"))

    async def test(base: str, live: Live) -> None:
        async with browser() as session:
            await session.post(f"{base}/login", data={"token": LOOKS}, allow_redirects=False)
            for path in PAGES:
                async with session.get(base + path) as answer:
                    page = await answer.text()
                    assert answer.status == 200, path
                    assert 'action="/care"' not in page
                    assert 'action="/dead-letters"' not in page
            async with session.get(f"{base}/what-if") as answer:
                found = re.search(r'name="mark" value="([0-9a-f]+)"', await answer.text())
            assert found is not None
            json_too = {"Accept": "application/json"}
            for path, form in (("/care", {"how": "done", "reminder": "r"}), ("/dead-letters", {"error": "BadField"})):
                own = form | {"mark": found[1]}
                async with session.post(base + path, data=own, headers=json_too) as answer:
                    assert (answer.status, "may look" in await answer.text()) == (403, True)
                bearer = json_too | {"Authorization": f"Bearer {LOOKS}"}
                async with (
                    aiohttp.ClientSession() as other,
                    other.post(base + path, data=form, headers=bearer) as answer,
                ):
                    assert answer.status == 403
            async with session.post(f"{base}/choose", data={"lang": "zh", "mark": found[1]}) as answer:
                assert answer.status == 200, "how it looks is one's own"

    serving(test, TOKEN, LOOKS)


def test_a_token_to_look_alone_lets_nobody_act_and_none_is_the_other() -> None:
    alone = Guard("0.0.0.0", 8080, "", LOOKS)
    assert alone.asks
    assert [alone.role_of(given) for given in (LOOKS, "", TOKEN)] == [guard.READ, "", ""]
    both = Guard("0.0.0.0", 8080, TOKEN, LOOKS)
    assert [both.role_of(given) for given in (TOKEN, LOOKS, "x")] == [guard.ACT, guard.READ, ""]
    assert both.role(both.new_session(guard.READ)) == guard.READ
    raised = both.new_session(guard.READ).replace(f".{guard.READ}.", f".{guard.ACT}.")
    assert not both.knows_session(raised), "a role is signed with the session"
    with pytest.raises(SettingError, match="CONSOLE_READ_TOKEN is LOYALTY_CONSOLE_TOKEN"):
        Settings.from_env({"LOYALTY_CONSOLE_TOKEN": TOKEN, "LOYALTY_CONSOLE_READ_TOKEN": TOKEN})


def test_each_action_is_a_line_of_the_trail_and_no_line_takes_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "close", lambda *of: actions.Written("anna-4711", "BIRTHDAY", 2, 17))
    monkeypatch.setattr(actions, "retry", lambda *of: 3)

    async def test(base: str, live: Live) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        async with browser() as session:
            await session.post(f"{base}/login", data={"token": "wrong-horse-battery"}, allow_redirects=False)
            await session.post(f"{base}/login", data={"token": LOOKS}, allow_redirects=False)
            await session.post(f"{base}/care", data={"how": "done", "reminder": "r"})
        async with aiohttp.ClientSession(headers=bearer) as session:
            await session.post(f"{base}/care", data={"how": "declined", "reminder": "r"})
            await session.post(f"{base}/dead-letters", data={"topic": "purchases", "partition": "1", "offset": "5"})
            await session.post(f"{base}/dead-letters", data={"error": "BadField"})

    with logged(level="ERROR") as stream:
        serving(test, TOKEN, LOOKS)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    trail = [line for line in lines if line["logger"] == "loyalty.audit"]
    assert [(line["action"], line["outcome"], line["role"]) for line in trail] == [
        ("sign in", "refused", "read"), ("sign in", "done", "read"), ("post /care", "refused", "read"),
        ("care declined", "done", "act"), ("send again", "done", "act"), ("send again", "done", "act"),
    ]  # fmt: skip
    care, one, _ = trail[3:]
    assert (care["topic"], care["partition"], care["offset"], len(care["customer"])) == ("contacts", 2, 17, 16)
    assert (one["topic"], one["partition"], one["offset"], one["number"]) == ("purchases", 1, 5, 3)
    assert trail[1]["session"] == trail[2]["session"] != care["session"]
    assert "anna-4711" not in stream.getvalue()
    assert TOKEN not in stream.getvalue()
