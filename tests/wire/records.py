"""Records for the wire tests: any datum of a schema, and any that the contract accepts, as hypothesis strategies."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from typing import Any

import avro.schema
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from hypothesis import strategies as st

from processors.events import TIME_END_MS
from schemas import library, topics

INPUT_TOPICS = (topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.CUSTOMERS, topics.TICKS)

AMOUNTS = st.integers(-(10**13), 10**13)
INSTANTS = st.integers(0, TIME_END_MS - 1) | st.integers(1_400_000_000_000, 1_600_000_000_000)
IDS = st.text(min_size=1, max_size=32)  # at most 128 bytes
DAYS = (
    st.dates(date(1800, 1, 1), date(2199, 12, 31)).map(str)
    | st.dates().map(lambda day: str(day)[5:])
    | st.just("02-29")
)

ACCEPTED: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.text(min_size=1, max_size=200),
    "customer_id": IDS,
    "occurred_at": INSTANTS,
    "joined_at": INSTANTS,
    "at": INSTANTS,
    "recorded_at": INSTANTS,
    "complaint_id": IDS,
    "referrer_id": st.none() | IDS,
    "referred_customer_id": st.none() | IDS,
    "merged_into": st.none() | IDS,
    "currency": st.sampled_from(["USD", "EUR", "JPY", "KWD"]),
    **dict.fromkeys(("channel", "store_id", "anniversaries[].name", "consent{key}"), st.text(max_size=64)),
    **dict.fromkeys(("employee_id", "preferred_channel"), st.none() | st.text(max_size=64)),
    "lines[].category": st.text(max_size=64),
    "lines[].quantity": st.integers(-(2**31) + 1, 2**31 - 1) | st.integers(-100, 100),
    "lines[].net_amount": st.integers(0, 10**13) | st.integers(0, 10_000),
    "lines[].cost": st.none() | AMOUNTS,
    "compensation": AMOUNTS,
    "reward": AMOUNTS,
    "acquisition_cost": AMOUNTS,
    "cost": st.none() | AMOUNTS,
    "severity": st.integers(1, 5),
    "satisfaction": st.none() | st.integers(1, 5),
    "score": st.none() | st.integers(0, 10),
    "due_at": st.none() | INSTANTS,
    "item": st.none() | st.text(max_size=64),
    "reason": st.none() | st.text(min_size=1, max_size=16),
    "birthday": st.none() | DAYS,
    "anniversaries[].date": DAYS,
    "time_zone": st.none() | st.sampled_from(["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "UTC"]),
    "language": st.none() | st.sampled_from(["en", "zh", "zh-Hant-TW"]),
    "value_at_share{key}": st.sampled_from(["0.01", "0.2", "0.5", ".05", "1", "1.0"]),
    "policy": st.sampled_from(["", "default@1#0a1b2c3d"]),
    "served[].employee_id": st.text(min_size=1, max_size=30),
    **{
        f"served[].{name}": st.integers(0, 2**62) | st.integers(0, 70)
        for name in ("customers", "buyers", "kept", "in_time", "missed", "rated", "satisfaction")
    },
}
"""By path: what the contract takes where it takes less than the schema."""


def data(schema: Any, narrowed: dict[str, st.SearchStrategy[Any]], path: str = "") -> st.SearchStrategy[Any]:
    """Datums of `schema`; `narrowed` replaces the strategy of a path."""
    if path in narrowed:
        return narrowed[path]
    if isinstance(schema, list):
        return st.one_of([data(branch, narrowed, path) for branch in schema])
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict):
        return data(kind, narrowed, path)
    dot = f"{path}." if path else ""
    plain: dict[str, Any] = {
        "null": st.none,
        "boolean": st.booleans,
        "string": lambda: st.text(max_size=40) | st.text(min_size=60, max_size=150),
        "bytes": lambda: st.binary(max_size=150),
        "int": lambda: st.integers(-(2**31), 2**31 - 1),
        "long": lambda: st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70),
        "double": lambda: st.floats(allow_nan=False),
        "enum": lambda: st.sampled_from([name for name in schema["symbols"] if name != schema.get("default")]),
        "array": lambda: st.lists(data(schema["items"], narrowed, f"{path}[]"), min_size=path == "lines", max_size=5),
        "map": lambda: st.dictionaries(
            data("string", narrowed, f"{path}{{key}}"), data(schema["values"], narrowed, f"{path}{{}}"), max_size=4
        ),
        "record": lambda: st.fixed_dictionaries(
            {field["name"]: data(field["type"], narrowed, dot + field["name"]) for field in schema["fields"]}
        ),
    }
    if kind not in plain:  # a name that an earlier field defined: the tests' schemas use RiskLevel alone so
        return st.sampled_from(["OK", "WATCH", "AT_RISK", "LOST"])
    made: st.SearchStrategy[Any] = plain[kind]()
    return made


def accepted(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records of `topic` that follow its schema and the contract."""
    return data(library.source(topic), ACCEPTED)


def oracle(topic: str) -> avro.schema.Schema:
    """The topic's newest schema as avro-python3, the independent implementation, has it."""
    return avro.schema.parse(library.text(topic))


def oracle_bytes(schema: avro.schema.Schema, datum: Any) -> bytes:
    """`datum` as avro-python3 writes it."""
    with BytesIO() as out:
        DatumWriter(schema).write(datum, BinaryEncoder(out))
        return out.getvalue()


def oracle_datum(schema: avro.schema.Schema, body: bytes) -> Any:
    """What avro-python3 reads in `body`."""
    return DatumReader(schema, schema).read(BinaryDecoder(BytesIO(body)))


def zigzag(number: int) -> bytes:
    """An Avro int or long, by the specification's text."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
