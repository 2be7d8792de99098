"""Sentences that are data: what they may name in braces, said before anybody needs one.

A sentence names a field as `{what}`; a number may bring its noun, `{have:day|days}`: "1 day", "31 days".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from string import Formatter

from processors.strict import unknown

_NOUNS = re.compile(r"[^{}|]+\|[^{}|]+")


def faults(text: str, fields: Sequence[str], numbers: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong with a sentence that may name `fields`, each as the end of a problem with the way out.

    numbers: those of them that may bring a noun.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        yield f'is "{text}": {error}; write a brace that is meant as such twice'
        return
    told = ((name, form or "", conversion) for _, name, form, conversion in parts if name is not None)
    for name, form, conversion in sorted(set(told), key=lambda one: one[0]):
        if name not in fields:
            yield f"names {{{name}}}: " + unknown(name, fields, "field")
        elif conversion or (form and name not in numbers):
            yield f"names {{{name}}} in another form: write it plainly, {{{name}}}"
        elif form and not _NOUNS.fullmatch(form):
            way_out = f"write a number plainly, {{{name}}}, or with its noun, one and many: {{{name}:day|days}}"
            yield f"names {{{name}:{form}}}: {way_out}"
