"""Avro object container files, for import and export.

Written by avro-python3, the independent implementation: what we export, another program wrote. Read by fastavro, which
knows every codec; the writer's schema in the file is resolved to the topic's newest, and times come out as UTC ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
from avro.datafile import DataFileWriter
from avro.io import DatumWriter

from schemas import codec, library
from schemas.errors import BrokenAvro

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def read_container(path: Path, topic: str | None = None) -> Iterator[dict[str, Any]]:
    """The records of a file, resolved to the newest schema of `topic` (None: as they were written).

    Raises BrokenAvro, which names the record, where the file is damaged or its schema cannot be resolved.
    """
    target = None if topic is None else library.newest(topic)
    done = 0
    with path.open("rb") as file:
        try:
            for record in fastavro.reader(file, target):
                yield _plain(record)
                done += 1
        except Exception as error:
            name = f"to {topic}" if topic else "by its own schema"
            raise BrokenAvro(f"{path.name}: record {done + 1} cannot be read {name}: {error}") from error


def write_container(path: Path, topic: str, records: Iterable[Mapping[str, Any]]) -> int:
    """Writes `records` under the newest schema of `topic`, deflated; gives their number. Raises BadField."""
    schema = avro.schema.parse(library.text(topic))
    done = 0
    with path.open("wb") as file:
        writer = DataFileWriter(file, DatumWriter(), schema, codec="deflate")
        for record in records:
            writer.append(_whole(topic, record))
            done += 1
        writer.close()
    return done


def _whole(topic: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with its defaults, proven to fit: avro-python3 fills none in and names no field."""
    return codec.read(topic, codec.write(topic, record))


def _plain(datum: Any) -> Any:
    """Times as ms, whatever logical type the writer gave them."""
    if isinstance(datum, datetime):
        return (datum.replace(tzinfo=datum.tzinfo or UTC) - _EPOCH) // _MILLISECOND
    if isinstance(datum, dict):
        return {name: _plain(value) for name, value in datum.items()}
    return [_plain(item) for item in datum] if isinstance(datum, list) else datum
