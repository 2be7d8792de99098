"""The page of what-if: what takes a pass is asked of the jobs, and the page fills in when it is answered."""

from __future__ import annotations

from fractions import Fraction
from hashlib import sha256
from typing import Final

from aiohttp import web

from streams.console import supposing
from streams.console.desk import Desk
from streams.console.markup import query
from streams.console.pages import parts, whatif
from streams.console.pages.whatif import Asked

_KEPT: Final = 8
_MORE: Final = (Fraction(-1), Fraction(10))
_MOVED: Final = (Fraction(1, 10_000), Fraction(1))

TEXTS: Final = web.AppKey("texts", dict[str, str])
"""Texts of policies that were asked about lately, by their hash: a page's address names one."""


async def what_if(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Both scenarios, and the comparison that `policy` names by its hash."""
    ask, live, seen = desk.ask(request), desk.live, desk.live.survey
    title = ask.words("nav.whatif")
    if seen is None:
        return desk.page(ask, "whatif", title, parts.waiting(ask.words))
    given = request.query
    asked = Asked(given.get("retention", "5"), given.get("shift", "33"))
    by = supposing.share_of(asked.retention, *_MORE)
    share = supposing.share_of(asked.shift, *_MOVED)
    wrong = tuple(text for text, found in ((asked.retention, by), (asked.shift, share)) if found is None)
    base = live.jobs.ask(f"base:{seen.as_of}", supposing.base_of, live.settings)
    more = moved = None
    if base.error:
        more = moved = supposing.Supposed(None, base.error)
    elif base.value is not None:
        more = await live.ask(supposing.more_retention, base.value, by or Fraction(1, 20))
        moved = await live.ask(supposing.moved_budget, base.value, share or Fraction(1, 3))
    name = given.get("policy", "")
    text = request.app[TEXTS].get(name, "")
    diff = live.jobs.ask(f"diff:{name}:{seen.as_of}", supposing.compared, live.settings, text) if text else None
    shown = Asked(asked.retention, asked.shift, text, wrong)
    return desk.page(ask, "whatif", title, whatif.content(ask, seen.policy, shown, more, moved, diff))


async def compare(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Remember the text of a policy, and show what it would do."""
    form = await request.post()
    text = str(form.get("policy", "")).replace("\r\n", "\n").removeprefix("\n")
    held = request.app[TEXTS]
    while len(held) >= _KEPT:
        held.pop(next(iter(held)))
    name = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    held[name] = text
    return web.Response(status=303, headers={"Location": query("/what-if", policy=name) + "#compared"})
