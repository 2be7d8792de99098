"""A real browser in front of a real console: every page, every action, a phone, the keyboard, a screen reader's rules.

One small import, one console, one browser. axe.min.js is axe-core 4.14.1 by Deque (MPL 2.0), unchanged.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from kafka import KafkaProducer

from schemas import codec
from schemas.topics import CONTACTS, PURCHASES
from sinks.access import KafkaAccess
from streams.console.words import words
from streams.reading import TopicReader
from tests.conftest import ROOT, free_port
from tests.console.browser import Page, browsing, chromium
from tests.console.shots import NARROW, WIDE, pages, ready

pytestmark = pytest.mark.live

AXE = ROOT / "tests" / "console" / "axe.min.js"
RULES = "axe.run(document, {resultTypes: ['violations']})"
HOUSEHOLDS = "40"
BAD = b'<script>alert("till")</script>'


@pytest.fixture
def console(
    environ: dict[str, str], fresh_topics: Callable[[], None], loyalty: Callable[..., Any]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a console over a year of 40 households with made-up people, and its environment."""
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("there is no chromium on PATH: .ci/run installs it")
        pytest.skip("there is no chromium on PATH: apt-get install chromium")
    fresh_topics()
    port = free_port()
    own = {
        "LOYALTY_CLOCK": "data", "LOYALTY_CONSOLE": f"127.0.0.1:{port}",
        "LOYALTY_POLICY": str(ROOT / "infra" / "policy-completejourney.toml"),
    }  # fmt: skip
    done = loyalty("import-dataset", "completejourney", "--customers", HOUSEHOLDS, "--people", "7", **own)
    assert done.returncode == 0, done.stderr
    producer = KafkaProducer(bootstrap_servers=environ["LOYALTY_KAFKA"])
    producer.send(PURCHASES, BAD, b"anna", partition=0).get(timeout=10)
    producer.close()
    assert (done := loyalty("worker", "--until-caught-up", **own)).returncode == 0, done.stderr
    process = subprocess.Popen([sys.executable, "-m", "streams", "console"], cwd=ROOT, env=environ | own)
    try:
        yield f"http://127.0.0.1:{port}", own
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_every_page_and_every_action_in_a_browser(
    console: tuple[str, dict[str, str]], environ: dict[str, str], loyalty: Callable[..., Any]
) -> None:
    base, own = console
    asyncio.run(_seen(base, lambda *words: loyalty(*words, **own), environ))


async def _seen(base: str, loyalty: Callable[..., Any], environ: dict[str, str]) -> None:
    until_serving(base)
    async with browsing() as page:
        await page.size(*WIDE)
        await page.open(base)
        await ready(page)
        await same_figures(page, loyalty)
        customer = str(await page.run("document.querySelector('#leaving a.id').innerText"))
        found: list[Any] = []
        for wide in (True, False):
            await page.size(*(WIDE if wide else NARROW), phone=not wide)
            await page.colours("light" if wide else "dark")
            for path in (*pages(customer).values(), "/customer?id=nobody", "/risk?level=AT_RISK&tier=member"):
                await page.open(base + path)
                await ready(page)
                await fits(page, path)
                found += await violations(page, path)
        assert found == []
        unknown = [one for one in page.errors if "404" in one and "id=nobody" in one]
        assert unknown == page.errors != []  # the browser tells of the page that says that there is no such customer
        page.errors.clear()
        await page.size(*WIDE)
        await live_and_acted_on(page, base, loyalty, KafkaAccess(environ["LOYALTY_KAFKA"]))
        await supposed(page, base)
        await chosen(page, base)
        assert page.errors == []
        assert {url for url in page.requests if not url.startswith((base, "about:", "data:"))} == set()


def until_serving(base: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urlopen(f"{base}/livez", timeout=2)
            return
        except OSError:
            assert time.monotonic() < deadline, "the console does not serve"
            time.sleep(0.1)


async def same_figures(page: Page, loyalty: Callable[..., Any]) -> None:
    """What the first page says is what the command says of the same states."""
    told = json.loads((await asyncio.to_thread(loyalty, "summary", "--json")).stdout)
    risk = {line["level"]: line["customers"] for line in told["risk"]}
    text = await page.text()
    assert f"About to leave: {risk['AT_RISK']} customers, and {risk['WATCH']} more to watch" in text
    kpi = await asyncio.to_thread(loyalty, "kpi", "--json")
    figures = [json.loads(line) for line in kpi.stdout.splitlines()]
    shown = await page.run("[...document.querySelectorAll('#every tbody tr')].map((row) => row.cells[2].textContent)")
    assert len(shown) == len([one for one in figures if "month" not in one["labels"]]) > 40
    for one, cell in zip((one for one in figures if "month" not in one["labels"]), shown, strict=True):
        if one["value"] is not None and one["unit"] == "customers":
            assert cell == f"{one['value']:,}", one
    held = {(one["figure"], *one["labels"].values()): one["value"] for one in figures}
    stakes = sum(held["loyalty_value_at_stake", level] for level in ("AT_RISK", "WATCH"))
    english, currency = words("en"), "USD"
    assert f"{english.money(stakes, currency)} of expected profit" in text
    tiles = await page.run("[...document.querySelectorAll('#figures .tile b')].map((one) => one.textContent)")
    assert english.money(held["loyalty_customer_equity",], currency, short=True) in tiles
    assert english.percent(held["loyalty_value_share", "0.2"], 0) in tiles
    first = [line["customer_id"] for line in told["most_at_stake"]]
    shown = await page.run("[...document.querySelectorAll('#leaving tbody a.id')].map((one) => one.innerText)")
    assert shown[: len(first)] == first


async def fits(page: Page, path: str) -> None:
    """Nothing sticks out to the right."""
    wide = await page.run("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], (path, wide)


async def violations(page: Page, path: str) -> list[Any]:
    """What axe finds against it: rules, and of each the first elements."""
    await page.run(AXE.read_text("utf-8"))
    found = await page.run(
        f"{RULES}.then((r) => r.violations.map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html)]))"
    )
    return [[path, *one] for one in found]


async def live_and_acted_on(page: Page, base: str, loyalty: Callable[..., Any], kafka: KafkaAccess) -> None:
    """Done by mouse, declined by keyboard alone; a worker folds, and the page follows; a dead letter is sent again."""
    await page.open(f"{base}/care?employee=-")
    await ready(page)
    await page.run("window.stayed = true")
    reminders = "[...document.querySelectorAll('#todo [name=reminder]')].map((one) => one.value)"
    done, declined = (await page.run(reminders))[-2:]
    await by_keyboard(page, f"declined-{declined}")
    await page.until("document.querySelector('#came .good')?.innerText.startsWith('Declined: ')")
    await page.until(f"!document.getElementById('declined-{declined}')")
    await page.until("document.getElementById('said').innerText.startsWith('Declined: ')")
    assert await page.run("document.activeElement !== document.body"), "the keyboard lost its place"
    await page.click(f"[id='done-{done}']")
    await page.until("document.querySelector('#came .good')?.innerText.startsWith('Done: ')")
    await page.until("document.querySelectorAll('.waits').length === 2")
    assert contacts(kafka, done, declined) == {done: "CARE", declined: "DECLINED"}
    folding = asyncio.create_task(asyncio.to_thread(loyalty, "worker", "--until-caught-up"))
    await page.until("document.querySelectorAll('.waits').length === 0", 60)
    assert (await folding).returncode == 0
    left = await page.run(reminders)
    assert done not in left
    assert declined not in left
    assert await page.run("window.stayed"), "the page was loaded anew"

    await page.open(f"{base}/dead-letters")
    await page.run("document.querySelector('#letters details').open = true")
    assert "3c 73 63 72 69 70 74" in await page.text()  # <script
    await page.click("#letters form button")
    await page.until("document.querySelector('#letters .badge.l-ok')?.innerText === 'sent again'")
    await page.open(f"{base}/stream")
    await page.until("document.querySelector('#verdict .bad')?.innerText.includes('no worker answers')")


async def by_keyboard(page: Page, wanted: str) -> None:
    """From the top of the page with Tab alone to a button, and Enter; the first stop leads past the pages' names."""
    first = await page.tab()
    assert first == "a Skip to the content"
    for _ in range(400):
        focused = await page.tab()
        if f"#{wanted} " in focused:
            break
        assert await page.run("document.activeElement.matches(':focus-visible')"), focused
    else:
        raise AssertionError(f"{wanted} is not reached by Tab")
    await page.press("Enter", 13, "\r")


def contacts(kafka: KafkaAccess, *reminders: str) -> dict[str, str]:
    """Reminder to the kind of the contact that closes it, of those in Kafka."""
    with TopicReader(kafka) as reader:
        held = [codec.read(CONTACTS, record.value) for record in reader.since(CONTACTS, {})]
    return {one["reminder_id"]: one["kind"] for one in held if one["reminder_id"] in reminders}


async def supposed(page: Page, base: str) -> None:
    """Another policy: its mistake is told with the line, and mended it says who moves."""
    await page.open(f"{base}/what-if")
    await ready(page)
    area = "document.getElementById('f-policy')"
    await page.run(f"{area}.value = {area}.value.replace('version = 1', 'version = 2').replace('290_000', '29_000')")
    await page.run(f"{area}.value = {area}.value.replace('min_value', 'min_valeu')")
    await page.leaves(lambda: page.click("#policy button"))
    await page.until("document.querySelector('#compared .bad')?.innerText.includes('did you mean min_value_365d?')")
    await page.run(f"{area}.value = {area}.value.replace('min_valeu', 'min_value')")
    await page.leaves(lambda: page.click("#policy button"))
    await page.until("document.querySelector('#compared .lede')?.innerText.includes('completejourney@2')", 60)
    assert await violations(page, "compared") == []


async def chosen(page: Page, base: str) -> None:
    """Language and colours by their buttons; and again a page without a violation."""
    await page.open(base)
    await ready(page)
    await page.click("#choices summary")
    await page.leaves(lambda: page.click("button[value=zh]"))
    await ready(page)
    assert await page.run("document.documentElement.lang") == "zh"
    assert "即将流失" in await page.text()
    await page.click("#choices summary")
    await page.leaves(lambda: page.click("button[value=dark]"))
    assert await page.run("document.documentElement.dataset.theme") == "dark"
    assert await violations(page, "zh, dark") == []
