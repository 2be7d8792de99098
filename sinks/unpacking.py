"""What producers compress with, unpacked within bounds: a kilobyte may say that it stands for a gigabyte.

The broker measures a batch as it came, compressed. Both clients unpack it whole, in memory, so a hostile producer's one
batch would end every worker that meets it, again and again. Here each of the four codecs stops at BATCH_BYTES_MAX, for
aiokafka and kafka-python alike; a test shows both the bombs.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

import cramjam

BATCH_BYTES_MAX: Final = 64 << 20
"""The most bytes that a batch may unpack to. A batch of a mebibyte, the most that an input topic takes, holds some
10 MiB of receipts under zstd."""

_ROOM_MIN: Final = 65_536
_ROOM_FACTOR: Final = 8

_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEAD: Final = 16


class Bomb(Exception):
    """A batch that unpacks to more than BATCH_BYTES_MAX, or cannot be unpacked at all."""


def _gunzip(payload: Any) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as file:
            out = file.read(BATCH_BYTES_MAX + 1)
    except (OSError, EOFError) as error:
        raise Bomb(f"is no gzip: {error}") from error
    if len(out) > BATCH_BYTES_MAX:
        raise Bomb(_told())
    return out


def _unsnap(payload: Any) -> bytes:
    """Raw, or in blocks as Java's library writes it: a head of 16 bytes, then each with its length."""
    view = memoryview(payload)
    if bytes(view[: len(_XERIAL)]) != _XERIAL:
        return _unsnapped(view, BATCH_BYTES_MAX)
    parts, at, left = [], _XERIAL_HEAD, BATCH_BYTES_MAX
    while at < len(view):
        (size,) = struct.unpack_from("!i", view, at)
        parts.append(_unsnapped(view[at + 4 : at + 4 + size], left))
        at, left = at + 4 + size, left - len(parts[-1])
    return b"".join(parts)


def _unsnapped(block: memoryview, most: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > most:  # it says so in front
        raise Bomb(_told())
    return bytes(cramjam.snappy.decompress_raw(block))


def _into(unpack: Callable[[Any, bytearray], int]) -> Callable[[Any], bytes]:
    """Into room that grows until it is enough, or as much as there may be."""

    def within_bounds(payload: Any) -> bytes:
        room = min(max(_ROOM_MIN, _ROOM_FACTOR * len(payload)), BATCH_BYTES_MAX)
        while True:
            out = bytearray(room)
            try:
                return bytes(memoryview(out)[: unpack(payload, out)])
            except cramjam.DecompressionError:
                if room == BATCH_BYTES_MAX:
                    raise
            room = min(room * _ROOM_FACTOR, BATCH_BYTES_MAX)

    return within_bounds


def _told() -> str:
    return f"unpacks to more than {BATCH_BYTES_MAX >> 20} MiB"


def _refused(unpack: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def unpacked(payload: Any) -> bytes:
        try:
            return unpack(payload)
        except (cramjam.DecompressionError, struct.error, ValueError) as error:
            raise Bomb(f"{_told()}, or is broken: {error}") from error

    return unpacked


DECODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": _gunzip,
    "snappy_decode": _refused(_unsnap),
    "lz4_decode": _refused(_into(cramjam.lz4.decompress_into)),
    "zstd_decode": _refused(_into(cramjam.zstd.decompress_into)),
}

_AIOKAFKA: Final = ("aiokafka.record._crecords.default_records", "aiokafka.record.default_records")
_KAFKA_PYTHON: Final = "kafka.record.default_records"


@cache
def bind() -> None:
    """Both clients unpack by DECODERS from now on; kafka-python also what it has no library of its own for."""
    for name in (*_AIOKAFKA, _KAFKA_PYTHON):
        module: Any = import_module(name)
        for decoder, decode in DECODERS.items():
            assert hasattr(module, decoder), f"{name} unpacks otherwise in this release: bound it there"
            setattr(module, decoder, decode)
    codecs: Any = import_module(_KAFKA_PYTHON).codecs
    for codec in ("snappy", "lz4", "zstd"):
        setattr(codecs, f"has_{codec}", lambda: True)
