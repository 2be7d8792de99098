"""HTML that cannot hold a text unescaped: what is no `Html` is text, and text is escaped.

There are no templates: a page is a function of typed data, which the type checker reads, too.

>>> str(el("p", {"class": "note"}, "1 < 2", el("br")))
'<p class="note">1 &lt; 2<br></p>'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final
from urllib.parse import quote, urlencode

VOID: Final = frozenset({"br", "img", "input", "link", "meta", "hr"})
_NEVER: Final = frozenset({"script", "style"})  # their content would not be unescaped by a browser


class Html:
    """A piece of HTML. Made by `el`, `join` and `raw` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)


Content = Html | str | int | None | Iterable["Html | str | int | None"]
"""None is left out; a number is its digits."""

Attributes = Mapping[str, object]
"""By name, shown as text. True: the name alone; False and None: left out."""

NOTHING: Final = Html("")


def el(name: str, attributes: Attributes | None = None, *content: Content) -> Html:
    """An element. `script` and `style` take no content: the page's policy allows no inline code."""
    assert not (content and name in _NEVER), name
    made = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in VOID:
        return Html(f"<{name}{made}>")
    return Html(f"<{name}{made}>{''.join(map(_inner, content))}</{name}>")


def join(*content: Content) -> Html:
    """Pieces side by side."""
    return Html("".join(map(_inner, content)))


def raw(text: str) -> Html:
    """Text that is HTML already; for constants of ours alone."""
    return Html(text)


def path(*parts: str) -> str:
    """A path of this server: each part is quoted whole, a slash in an id too.

    >>> path("customers", "a/b c")
    '/customers/a%2Fb%20c'
    """
    return "/" + "/".join(quote(part, safe="") for part in parts)


def query(at: str, **names: str | int | None) -> str:
    """`at` with a query of what has a value."""
    held = urlencode({name: value for name, value in names.items() if value not in (None, "")})
    return f"{at}?{held}" if held else at


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _inner(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Html):
        return str(content)
    if isinstance(content, str):
        return escape(content, quote=False)
    if isinstance(content, int):
        return str(content)
    return "".join(map(_inner, content))
