"""Actions: what a form sends. The guard has seen to it that it comes from our own page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from schemas import topics
from sinks.dead_letters import Wanted
from streams import refusals
from streams.console import actions, audit
from streams.console.desk import Desk, back
from streams.console.live import LETTERS_NEW
from streams.console.markup import Html, el
from streams.console.pages import parts
from streams.console.pages.parts import THEMES, Ask
from streams.console.words import LANGUAGES
from streams.settings import LoyaltyError

_YEAR_S: Final = 31_536_000


async def close(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Done or declined: a contact to Kafka."""
    form, words, live = await request.post(), desk.words(request), desk.live
    how = str(form.get("how", ""))
    if how not in (actions.DONE, actions.DECLINED):
        raise web.HTTPBadRequest(text=f"how is {how!r}: must be {actions.DONE} or {actions.DECLINED}\n")
    reminder = str(form.get("reminder", ""))
    try:
        written = await live.ask(actions.close, live.settings, reminder, how)
    except LoyaltyError as error:
        desk.tell(request, f"care {how}", audit.FAILED)
        return desk.came_of(request, str(error), failed=True, status=409)
    desk.tell(
        request, f"care {how}", audit.DONE, written.customer_id,
        topic=topics.CONTACTS, partition=written.partition, offset=written.offset,
    )  # fmt: skip
    live.closes(reminder, "DECLINED" if how == actions.DECLINED else "CARE")
    place = f"{topics.CONTACTS}[{written.partition}]@{written.offset}"
    kind = parts.kind(words, written.kind)
    return desk.came_of(request, words(f"care.told_{how}", kind=kind, customer=written.customer_id, place=place))


async def retry(desk: Desk, request: web.Request) -> web.StreamResponse:
    """One dead letter again, or all of a class."""
    form, words, live = await request.post(), desk.words(request), desk.live
    try:
        wanted = _wanted(form)
    except ValueError:
        raise web.HTTPBadRequest(text="name topic, partition and offset of a record, or an error class\n") from None
    try:
        number = await live.ask(actions.retry, live.settings, wanted)
    except LoyaltyError as error:
        desk.tell(request, "send again", audit.FAILED)
        return desk.came_of(request, str(error), failed=True, status=409)
    where: dict[str, Any] = (
        {} if wanted.error else {"topic": wanted.topic, "partition": wanted.partition, "offset": wanted.offset}
    )
    desk.tell(request, "send again", audit.DONE, number=number, **where)
    live.tell(LETTERS_NEW)
    return desk.came_of(request, words("letters.told", number=words.number(number)))


def _wanted(form: Mapping[str, Any]) -> Wanted:
    """Never all there are: a click says of which it speaks. Raises ValueError."""
    if form.get("error"):
        return Wanted(error=str(form["error"]))
    if not all(form.get(name) for name in ("topic", "partition", "offset")):
        raise ValueError
    return Wanted(topic=str(form["topic"]), partition=int(form["partition"]), offset=int(form["offset"]))


async def choose(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Language and colours, kept by the browser."""
    form = await request.post()
    answer = back(request)
    for name, known in (("lang", LANGUAGES), ("theme", THEMES)):
        value = str(form.get(name, ""))
        if value in known:
            answer.set_cookie(name, value, max_age=_YEAR_S, samesite="Strict", httponly=True, path="/")
    return answer


async def ask_token(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The page that asks for the token."""
    ask = desk.ask(request)
    return desk.page(ask, "", ask.words("login.title"), _login(ask))


async def take_token(desk: Desk, request: web.Request) -> web.StreamResponse:
    """A session for who knows the token."""
    form = await request.post()
    role = desk.guard.role_of(str(form.get("token", "")).strip())
    if not role:
        desk.tell(request, "sign in", audit.REFUSED)
        ask = desk.ask(request)
        return desk.page(ask, "", ask.words("login.title"), _login(ask, wrong=True), 403)
    answer = web.Response(status=303, headers={"Location": "/"})
    session = desk.guard.new_session(role)
    desk.audit.tell("sign in", audit.DONE, role, session)
    desk.remember(request, answer, session)
    return answer


def _login(ask: Ask, *, wrong: bool = False) -> Html:
    words = ask.words
    told = el("p", {"class": "notice bad", "role": "alert"}, words("login.wrong")) if wrong else None
    field = {"id": "token", "name": "token", "type": "password", "autocomplete": "current-password", "required": True}
    return el(
        "section", {"class": "card narrow", "aria-labelledby": "login-h"},
        el("h1", {"id": "login-h"}, words("login.title")), el("p", {"class": "about"}, words("login.about")), told,
        el(
            "form", {"method": "post", "action": "/login", "class": "filters"},
            el("p", None, el("label", {"for": "token"}, words("login.token")), el("input", field)),
            el("button", {"class": "go"}, words("login.go")),
        ),
    )  # fmt: skip


def refused(desk: Desk, request: web.Request, why: str = "frame.refused") -> web.StreamResponse:
    """An action that did not come from our own page, or from somebody who may only look."""
    desk.tell(request, f"post {request.path}", audit.REFUSED)
    return desk.came_of(request, desk.words(request)(why), failed=True, status=403)


def expected(error: BaseException) -> bool:
    """Whether it needs no traceback in the log."""
    return refusals.told(error) is not None or isinstance(error, LoyaltyError)
