"""Who may ask, from where, and what every answer carries.

On loopback anybody on this machine may; a request must name a host of this machine, or a page elsewhere could reach us
by a name of its own that it points here. Beyond loopback, or where a token is set, a request needs the token: as
`Authorization: Bearer …`, or once on the login page, after which a signed cookie stands for it.

An action (POST) must come from our own page: by `Origin` and `Sec-Fetch-Site`, as browsers send them, and with a mark
that belongs to the asker's session and that no other page can read.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from time import time
from typing import Final
from urllib.parse import urlsplit

from streams.logins import is_loopback
from streams.settings import LoyaltyError

COOKIE: Final = "loyalty_console"
ACT: Final = "act"
READ: Final = "read"
"""What a token, and the session that it gave, allows: both let in, READ to no action."""

LASTS_S: Final = 12 * 3_600
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """host: where we listen; token: what is asked for; read_token: of who may only look; both empty: nothing is asked.
    Raises LoyaltyError where others would reach us without one."""

    def __init__(self, host: str, port: int, token: str, read_token: str = "") -> None:
        if not token and not read_token and not is_loopback(host):
            raise LoyaltyError(f"LOYALTY_CONSOLE is {host}:{port}, which others reach: set LOYALTY_CONSOLE_TOKEN")
        self._tokens = {ACT: token.encode(), READ: read_token.encode()}
        self._local = is_loopback(host)
        self._secret = (
            hashlib.sha256(b"console\0" + b"\0".join(self._tokens.values())).digest()
            if self.asks
            else secrets.token_bytes(32)
        )

    @property
    def asks(self) -> bool:
        """Whether a token is needed."""
        return any(self._tokens.values())

    def knows_host(self, named: str) -> bool:
        """Whether a request that names this host (its `Host` header) is meant for us."""
        if not self._local:
            return True  # it needs the token
        return is_loopback((urlsplit(f"//{named}").hostname or "").lower())

    def role_of(self, given: str) -> str:
        """What a token allows, empty: it is none. Takes as long whatever was given."""
        held = given.encode("utf-8", "surrogateescape")
        same = {role: hmac.compare_digest(held, token) for role, token in self._tokens.items()}
        return next((role for role, token in self._tokens.items() if token and same[role]), "")

    def bearer(self, header: str) -> str:
        """What the token of an `Authorization` header allows, empty: it brings none."""
        scheme, _, given = header.partition(" ")
        return self.role_of(given.strip()) if scheme.lower() == "bearer" else ""

    def new_session(self, role: str = ACT) -> str:
        """A signed cookie for who may ask."""
        held = f"{int(time())}.{role}.{secrets.token_urlsafe(18)}"
        return f"{held}.{self._signed('session', held)}"

    def knows_session(self, cookie: str | None) -> bool:
        """Whether a cookie is ours and not too old."""
        held, _, mark = (cookie or "").rpartition(".")
        since = held.partition(".")[0]
        if not since.isascii() or not since.isdecimal() or not hmac.compare_digest(mark, self._signed("session", held)):
            return False
        return 0 <= time() - int(since) < LASTS_S

    def role(self, session: str) -> str:
        """What a session that we know allows."""
        return session.split(".")[1]

    def mark(self, session: str) -> str:
        """What an action of this session must bring."""
        return self._signed("action", session)

    def own(self, session: str, mark: str, headers: Mapping[str, str]) -> bool:
        """Whether an action comes from our own page, of this session."""
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("Host", "").lower():
            return False
        return hmac.compare_digest(mark.encode("utf-8", "surrogateescape"), self.mark(session).encode())

    def _signed(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}\0{text}".encode("utf-8", "surrogateescape"), "sha256").hexdigest()
