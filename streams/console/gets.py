"""The pages: each asks what is known, or a thread, and hands it to a module of `pages/`."""

from __future__ import annotations

import asyncio
from collections import Counter
from heapq import nlargest
from typing import Final

from aiohttp import web

from schemas import topics
from sinks.dead_letters import DeadLetter, list_dead_letters
from streams.console.desk import Desk, assets
from streams.console.guard import HEADERS
from streams.console.live import TooMany
from streams.console.markup import Html
from streams.console.pages import care, customer, letters, parts, risk, stream, tiers, today
from streams.console.pages.parts import Ask
from streams.console.person import Person, person, told
from streams.console.survey import Survey
from streams.reading import TopicReader
from streams.settings import Settings

HELLO: Final = "loyalty console\n"
"""What /livez answers: another program at the address would not."""

LETTERS_SHOWN: Final = 100
_LETTERS_READ: Final = 5_000
"""Of each partition of the dead letters so many offsets are read: the latest."""

_BEAT_S: Final = 15.0
_YEAR_S: Final = 31_536_000


async def programme(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The pages that the last pass fills."""
    ask, seen, name = desk.ask(request), desk.live.survey, _NAMES[request.path]
    inside = parts.waiting(ask.words) if seen is None else _programme(name, desk, ask, seen, request)
    return desk.page(ask, name, ask.words(f"nav.{name}"), inside)


def _programme(name: str, desk: Desk, ask: Ask, seen: Survey, request: web.Request) -> Html:
    given = request.query
    if name == "risk":
        wanted = risk.Wanted(given.get("level", ""), given.get("tier", ""), given.get("employee", ""), _page(request))
        return risk.content(ask, seen, wanted)
    if name == "care":
        return care.content(ask, seen, given.get("employee", ""), _page(request))
    if name == "tiers":
        return tiers.content(ask, seen)
    return today.content(ask, seen, desk.live.story)


_NAMES: Final = {path: name for name, path in parts.PAGES}
PROGRAMME: Final = ("/", "/risk", "/care", "/tiers")


def _page(request: web.Request) -> int:
    number = request.query.get("page", "1")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 6 else 1


async def pipeline(desk: Desk, request: web.Request) -> web.StreamResponse:
    """How the stream flows."""
    ask = desk.ask(request)
    return desk.page(ask, "stream", ask.words("nav.stream"), stream.content(ask, desk.live.pipeline))


async def dead_letters(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The latest of them."""
    ask = desk.ask(request)
    found, number, kinds = await desk.live.ask(read_letters, desk.live.settings)
    return desk.page(ask, "letters", ask.words("nav.letters"), letters.content(ask, found, number, kinds))


def read_letters(settings: Settings) -> tuple[list[DeadLetter], int, list[tuple[str, int]]]:
    """The latest letters, newest first, of how many read; error classes with those that may be sent again."""
    with TopicReader(settings.kafka) as reader:
        reader.partitions(topics.DEAD_LETTERS)  # says so where there is none
    kinds: Counter[str] = Counter()
    number = 0

    def counted(letter: DeadLetter) -> tuple[int, int, int]:
        nonlocal number
        number += 1
        kinds[letter.error] += not letter.retried and not letter.cut
        return letter.at, letter.letter_partition, letter.letter_offset

    held = list_dead_letters(settings.kafka.options(), settings.group, most=_LETTERS_READ)
    return nlargest(LETTERS_SHOWN, held, key=counted), number, kinds.most_common()


async def one_customer(desk: Desk, request: web.Request) -> web.StreamResponse:
    """A customer's page; what was told of them comes with `told`, else the page asks for it."""
    ask, id, settings = desk.ask(request), request.query.get("id", "").strip(), desk.live.settings
    found = await desk.live.ask(person, settings, id) if id else None
    title = ask.words("customer.title", id=id)
    if not isinstance(found, Person):
        return desk.page(ask, "", title, customer.unknown(ask, id, found), 404)
    given = await desk.live.ask(told, settings, id) if request.query.get("told") else None
    return desk.page(ask, "", title, customer.content(ask, found, given))


async def told_of(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The part of a customer's page that comes from the output topics, alone."""
    ask, id = desk.ask(request), request.query.get("id", "")
    found = await desk.live.ask(person, desk.live.settings, id)
    if not isinstance(found, Person):
        raise web.HTTPNotFound
    given = await desk.live.ask(told, desk.live.settings, id)
    made = customer.told_part(ask, found, given)
    return web.Response(text=str(made), content_type="text/html", charset="utf-8")


async def events(desk: Desk, request: web.Request) -> web.StreamResponse:
    """What is new, by name, as it becomes so; a comment now and then keeps proxies from closing it."""
    try:
        queue = desk.live.listen()
    except TooMany:
        return web.Response(status=503, text=desk.words(request)("frame.busy"))
    answer = web.StreamResponse(headers={**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    answer.content_type = "text/event-stream"
    try:
        await answer.prepare(request)
        await answer.write(b"retry: 2000\n\n")
        while True:
            try:
                what = await asyncio.wait_for(queue.get(), _BEAT_S)
            except TimeoutError:
                await answer.write(b": still here\n\n")
                continue
            if not what:
                return answer
            await answer.write(f"event: news\ndata: {what}\n\n".encode())
    except ConnectionError:
        return answer
    finally:
        desk.live.leave(queue)


async def livez(desk: Desk, request: web.Request) -> web.StreamResponse:
    """It serves; whether Redis and Kafka do is told on the pages."""
    return web.Response(text=HELLO)


async def static(desk: Desk, request: web.Request) -> web.StreamResponse:
    """What pages load. Asked for with the mark of its content it may be kept for good."""
    held = assets().get(request.match_info["name"])
    if held is None:
        raise web.HTTPNotFound
    mark, content, kind = held
    lasts = f"public, max-age={_YEAR_S}, immutable" if request.query.get("v") == mark else "no-cache"
    return web.Response(body=content, content_type=kind, charset="utf-8", headers={"Cache-Control": lasts})
