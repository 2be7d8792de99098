"""The console's HTTP: routes, and what every request passes and every answer carries.

Pages are whole without a script: forms post and come back. With it (`static/console.js`) parts of a page are exchanged
as news comes in, and an action does not leave the page.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streams import refusals
from streams.console import gets, posts, supposed
from streams.console.desk import BACK, ROLE, SESSION, Desk
from streams.console.guard import ACT, COOKIE, HEADERS, READ, Guard
from streams.console.live import STREAM_NEW, Live
from streams.console.markup import el
from streams.console.pages import parts
from streams.console.pipeline import problem_of
from streams.settings import LoyaltyError

_FORM_BYTES_MAX: Final = 524_288
"""A policy goes through a form."""

_OPEN: Final = ("/livez", "/login")
"""What is served without a token, beside /static."""

_ACTIONS: Final = ("/care", "/dead-letters")
"""What a POST to changes something beyond the asker's own page."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
At = Callable[[Desk, web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("loyalty.console")


class Console:
    """live: what is known, started and stopped by whoever made it; guard: who may."""

    def __init__(self, live: Live, guard: Guard) -> None:
        self._desk = Desk(live, guard)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Serve on host:port; port 0 takes a free one, see `port`. Raises LoyaltyError where it cannot be had."""
        self._runner = web.AppRunner(self.app(), access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise LoyaltyError(_no_port(host, port, error)) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._guarded], client_max_size=_FORM_BYTES_MAX)
        app[supposed.TEXTS] = {}
        app.add_routes(web.get(path, self._at(gets.programme)) for path in gets.PROGRAMME)
        app.add_routes([
            web.get("/what-if", self._at(supposed.what_if)),
            web.get("/stream", self._at(gets.pipeline)),
            web.get("/dead-letters", self._at(gets.dead_letters)),
            web.get("/customer", self._at(gets.one_customer)),
            web.get("/customer/told", self._at(gets.told_of)),
            web.get("/events", self._at(gets.events)),
            web.get("/livez", self._at(gets.livez)),
            web.get("/static/{name}", self._at(gets.static)),
            web.get("/login", self._at(posts.ask_token)),
            web.post("/login", self._at(posts.take_token)),
            web.post("/choose", self._at(posts.choose)),
            web.post("/care", self._at(posts.close)),
            web.post("/what-if", self._at(supposed.compare)),
            web.post("/dead-letters", self._at(posts.retry)),
        ])  # fmt: skip
        return app

    def _at(self, handler: At) -> Handler:
        async def answered(request: web.Request) -> web.StreamResponse:
            return await handler(self._desk, request)

        return answered

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The guard before, its headers after, and an answer for whatever went wrong."""
        try:
            answer = await self._let_in(request, handler)
        except web.HTTPException as error:
            answer = self._wrong(request, error)
        except Exception as error:
            told = problem_of(error, refusals.told)
            log.error("%s: %s", request.path, told, exc_info=None if posts.expected(error) else error)
            answer = self._failed(request, told)
        if not answer.prepared:
            answer.headers.update(HEADERS)
            answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        desk, guard = self._desk, self._desk.guard
        if not guard.knows_host(request.host):
            raise web.HTTPMisdirectedRequest(text="this console is asked for by a name of this machine\n")
        session = request.cookies.get(COOKIE)
        known = guard.knows_session(session)
        bearer = guard.bearer(request.headers.get("Authorization", "")) if guard.asks else ""
        request[ROLE] = bearer or (guard.role(session) if known and session else READ if guard.asks else ACT)
        request[SESSION] = session if known and session else guard.new_session(request[ROLE])
        if guard.asks and not (known or bearer or request.path in _OPEN or request.path.startswith("/static/")):
            return _no_token(request)
        if request.method == "POST" and request.path != "/login":
            form = await request.post()
            request[BACK] = str(form.get("back", "/"))
            own = known and guard.own(request[SESSION], str(form.get("mark", "")), request.headers)
            if not own and not bearer:
                return posts.refused(desk, request)
            if request[ROLE] != ACT and request.path in _ACTIONS:
                return posts.refused(desk, request, "frame.read_only")
        answer = await handler(request)
        if not known and not guard.asks and not answer.prepared:
            desk.remember(request, answer, request[SESSION])
        return answer

    def _wrong(self, request: web.Request, error: web.HTTPException) -> web.StreamResponse:
        """A page for a person who went astray."""
        if error.status < 400 or request.method != "GET" or SESSION not in request:
            return web.Response(status=error.status, text=error.text, headers=error.headers)
        ask = self._desk.ask(request)
        text = ask.words("frame.not_found") if error.status == 404 else error.reason
        return self._desk.page(ask, "", text, parts.head(text), error.status)

    def _failed(self, request: web.Request, what: str) -> web.StreamResponse:
        """What stood in the way, on a page that comes to life again by itself."""
        if request.method == "POST":
            return self._desk.came_of(request, what, failed=True, status=502)
        ask = self._desk.ask(request)
        text = ask.words("frame.failed", what=what)
        inside = el("section", {"id": "failed", "data-live": STREAM_NEW}, el("p", {"class": "notice bad"}, text))
        return self._desk.page(ask, "", ask.words("frame.console"), inside, 502)


def _no_token(request: web.Request) -> web.StreamResponse:
    """The login page to a person; 401 to what is no page."""
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=303, headers={"Location": "/login"})
    return web.Response(status=401, text="a token is needed\n", headers={"WWW-Authenticate": "Bearer"})


def _no_port(host: str, port: int, error: OSError) -> str:
    why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return f"LOYALTY_CONSOLE is {host}:{port}: the address {why}; set another one (port 0 takes any free one)"
