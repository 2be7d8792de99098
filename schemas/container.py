"""Avro object container files, for import and export.

Written by avro-python3, the independent implementation: what we export, another program wrote. Read by fastavro, which
knows every codec; the writer's schema in the file is resolved to the topic's newest, and times come out as UTC ms.
A block unpacks to BLOCK_BYTES_MAX at most.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import avro.schema
import fastavro
from avro.datafile import DataFileWriter
from avro.io import DatumWriter
from fastavro.read import BLOCK_READERS

from schemas import codec, library
from schemas.errors import BrokenAvro

BLOCK_BYTES_MAX: Final = 64 << 20
"""The most that a block may unpack to: writers fill blocks of 16 KiB to a few MiB, a bomb means gigabytes."""

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
            why = str(error) or type(error).__name__
            raise BrokenAvro(f"{path.name}: record {done + 1} cannot be read {name}: {why}") from error


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


# ---- blocks within bounds: fastavro's own readers unpack whatever comes

_XZ_MEMORY_MAX: Final = 256 << 20  # a block says how much memory reading it takes, up to gigabytes

_UNPACKERS: Final[dict[str, Callable[[], Any]]] = {
    "deflate": lambda: zlib.decompressobj(-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_MAX),
}


def _bounded(unpacker: Callable[[], Any]) -> Callable[[BinaryIO], BytesIO]:
    def read_block(file: BinaryIO) -> BytesIO:
        out = unpacker().decompress(file.read(_long(file)), BLOCK_BYTES_MAX + 1)
        if len(out) > BLOCK_BYTES_MAX:
            raise ValueError(f"a block unpacks to more than {BLOCK_BYTES_MAX >> 20} MiB: write smaller blocks")
        return BytesIO(out)

    return read_block


def _long(file: BinaryIO) -> int:
    """A zigzag number of at most ten bytes."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError("the file ends within a block")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
    raise ValueError("a length of more than ten bytes")


BLOCK_READERS.update({codec: _bounded(unpacker) for codec, unpacker in _UNPACKERS.items()})
