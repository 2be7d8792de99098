"""What a customer was last told, between its struct and the record on `told`: one place for both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from processors.care.book import EMPTY, Book
from processors.charge import Charge
from processors.customer import Exit, Told

_NAMES: Final = tuple(name for name in Told.__struct_fields__ if name not in ("exit", "care", "charge"))
_read_exit: Final = msgspec.json.Decoder(Exit).decode
_read_care: Final = msgspec.json.Decoder(Book).decode
_read_charge: Final = msgspec.json.Decoder(Charge).decode
_write: Final = msgspec.json.Encoder().encode


class LastTold(Struct, frozen=True):
    """What a customer was last told, and `at`: the instant of the review that told it (ms)."""

    at: int
    told: Told


def told_fields(told: Told) -> dict[str, Any]:
    """The fields of a record on `told` that say what was told."""
    return asdict(told) | {
        "exit": None if told.exit is None else _write(told.exit).decode(),
        "care": None if told.care == EMPTY else _write(told.care).decode(),
        "charge": None if told.charge is None else _write(told.charge).decode(),
    }


def last_told(fields: Mapping[str, Any]) -> LastTold:
    """What a record on `told` says, and as of when. Raises as `told_of` does."""
    return LastTold(fields["at"], told_of(fields))


def told_of(fields: Mapping[str, Any]) -> Told:
    """What a record on `told` says. Raises msgspec.ValidationError where `exit`, `care` or `charge` is none of ours."""
    gone, care, charge = fields["exit"], fields["care"], fields["charge"]
    return Told(
        **{name: fields[name] for name in _NAMES},
        exit=None if gone is None else _read_exit(gone),
        care=EMPTY if care is None else _read_care(care),
        charge=None if charge is None else _read_charge(charge),
    )
