"""What all answers share: who asks in which language, the frame around a page, what came of an action."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from streams.console.audit import Audit
from streams.console.guard import ACT, COOKIE, LASTS_S, Guard
from streams.console.live import Live
from streams.console.markup import Html
from streams.console.pages import parts
from streams.console.pages.parts import THEMES, Ask
from streams.console.words import Words, chosen, words

NOTICES_MAX: Final = 1_000
SESSION: Final = web.RequestKey("session", str)
"""The session of a request, known or new."""

ROLE: Final = web.RequestKey("role", str)
"""What whoever asks may do: `guard.ACT` or `guard.READ`."""

BACK: Final = web.RequestKey("back", str)
"""The page that an action came from."""

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Desk:
    """live: what is known; guard: who may. Holds for each session what came of its last action until it is shown."""

    def __init__(self, live: Live, guard: Guard) -> None:
        self.live, self.guard, self.audit = live, guard, Audit(live.settings.erase_key)
        self._notices: dict[str, tuple[str, bool]] = {}

    def words(self, request: web.Request) -> Words:
        """The texts of who asks."""
        return words(chosen(request.cookies.get("lang"), request.headers.get("Accept-Language", "")))

    def ask(self, request: web.Request) -> Ask:
        """The request, as pages see it."""
        theme = request.cookies.get("theme", "auto")
        session = request[SESSION]
        notice, failed = self._notices.pop(session, ("", False))
        return Ask(
            words=self.words(request),
            theme=theme if theme in THEMES else "auto",
            at=request.path_qs,
            mark=self.guard.mark(session),
            assets={name: f"/static/{name}?v={held[0]}" for name, held in assets().items()},
            closed={reminder: kind for reminder, (kind, _) in self.live.closed.items()},
            problems=tuple(dict.fromkeys(self.live.problems.values())),
            notice=notice,
            failed=failed,
            may_act=request[ROLE] == ACT,
        )

    def tell(self, request: web.Request, action: str, outcome: str, customer: str = "", **where: Any) -> None:
        """The trail of what was done (`audit.py`)."""
        self.audit.tell(action, outcome, request[ROLE], request[SESSION], customer, **where)

    def page(self, ask: Ask, active: str, title: str, inside: Html, status: int = 200) -> web.Response:
        """The whole document."""
        seen = self.live.survey
        programme = "" if seen is None else seen.policy.programme.name
        clock = None if self.live.pipeline is None else self.live.pipeline.clock
        clock = clock if seen is None or seen.as_of is None else seen.as_of
        as_of = (
            ""
            if clock is None or seen is None
            else ask.words("frame.as_of", when=ask.words.instant(clock, seen.policy.calendar))
        )
        made = parts.page(ask, active, title, inside, programme=programme, as_of=as_of)
        answer = web.Response(text=str(made), content_type="text/html", charset="utf-8", status=status)
        answer.headers["Vary"] = "Accept-Language, Cookie"
        answer.enable_compression()
        return answer

    def came_of(self, request: web.Request, text: str, *, failed: bool = False, status: int = 200) -> web.Response:
        """What came of an action: to the script as JSON, to a form by going back to where it was."""
        if "application/json" in request.headers.get("Accept", ""):
            return web.Response(
                text=json.dumps({"told": text, "failed": failed}), content_type="application/json", status=status
            )
        while len(self._notices) >= NOTICES_MAX:
            self._notices.pop(next(iter(self._notices)))
        self._notices[request[SESSION]] = text, failed
        return back(request)

    def remember(self, request: web.Request, answer: web.StreamResponse, session: str) -> None:
        """Give the browser its session."""
        answer.set_cookie(
            COOKIE, session, max_age=LASTS_S, httponly=True, samesite="Strict", secure=request.secure, path="/"
        )


def back(request: web.Request) -> web.Response:
    """To the page that an action came from; a path of ours and nothing else."""
    to = str(request.get(BACK, "/"))
    ours = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return web.Response(status=303, headers={"Location": to if ours else "/"})


@cache
def assets() -> dict[str, tuple[str, bytes, str]]:
    """Name to (mark of its content, content, media type) of what pages load."""
    found = {}
    for entry in (files("streams.console") / "static").iterdir():
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if kind is not None:
            content = entry.read_bytes()
            found[entry.name] = sha256(content).hexdigest()[:12], content, kind
    return found
