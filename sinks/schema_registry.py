"""A Confluent-style schema registry over HTTP: the schema of an id, and the ids of our own schemas.

Three answers are told apart, for they lead to three things: the schema; a word that the id is unknown or of no use
(`NoSuchSchema`: the record is a dead letter); and everything else (`RegistryAway`: nobody there, an error of the
server, a refused password, a page of some proxy), on which a good record must not be lost, so it waits.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from schemas import framing, library

log = logging.getLogger("loyalty.registry")

COMPATIBILITY: Final = "FULL_TRANSITIVE"
"""Of our subjects: what the tests hold our schemas to, the registry holds everybody to."""

TIMEOUT_S: Final = 5.0
_ANSWER_BYTES_MAX: Final = 4 << 20
_JSON: Final = "application/vnd.schemaregistry.v1+json"
_UNKNOWN_ID: Final = 40403
_SHOWN: Final = 200  # characters of an answer in a message


class RegistryAway(Exception):
    """The registry gives no answer that can be used, now or under these settings. Ask again."""


class NoSuchSchema(Exception):
    """The registry knows no schema of the id, or none that is Avro. The text follows "schema id 7 of the registry"."""


class UnknownId(NoSuchSchema):
    """The registry says that it has never heard of the id: one that has just come up may not have read all it holds."""


class RegistryRefuses(Exception):
    """The registry does not take a schema of ours."""


class SchemaRegistry:
    """url: as in LOYALTY_SCHEMA_REGISTRY_URL, a user and password may be in it. `place`: the same without them.

    Blocking, and safe to use from several threads.
    """

    def __init__(self, url: str, user: str = "", password: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        self.place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        user, password = unquote(parts.username or "") or user, unquote(parts.password or "") or password
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._login = f"Basic {login}" if user else ""
        self._timeout_s = timeout_s

    def schema(self, schema_id: int) -> str:
        """The text of the Avro schema with this id. Raises NoSuchSchema, of it UnknownId, and RegistryAway."""
        path = f"/schemas/ids/{schema_id}"
        status, told = self._call("GET", path)
        if status == 200 and isinstance(told.get("schema"), str):
            kind = told.get("schemaType", "AVRO")
            if kind != "AVRO":
                raise NoSuchSchema(f"is {str(kind)[:40]}, not AVRO")
            if told.get("references"):
                raise NoSuchSchema("refers to other subjects, which is not followed: register it whole")
            return str(told["schema"])
        if status == 404 and told.get("error_code") == _UNKNOWN_ID:
            raise UnknownId("is unknown there: the record was written with another registry, or its schema is gone")
        raise self._away(path, status, told)

    def types(self) -> list[str]:
        """The kinds of schema that it takes. Raises RegistryAway."""
        status, told = self._call("GET", "/schemas/types")
        if status != 200 or not isinstance(told.get(""), list):
            raise self._away("/schemas/types", status, told)
        return [str(kind) for kind in told[""]]

    def heads(self, topics: Iterable[str]) -> framing.Heads:
        """What `framing.reframed` needs to write these topics: all their released schemas, registered as
        `<topic>-value`. Raises RegistryRefuses, RegistryAway."""
        return {topic: self._registered(topic) for topic in topics}

    def _registered(self, topic: str) -> dict[bytes, bytes]:
        subject = f"{topic}-value"
        held = self._hold_compatible(subject)
        heads = {}
        for mark, schema in library.by_mark(topic).items():
            schema_id = self._register(subject, json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
            heads[framing.SINGLE_OBJECT + mark] = framing.confluent_head(schema_id)
        if not held:
            self._hold_compatible(subject)
        return heads

    def registered(self, topic: str) -> bool:
        """Whether the newest schema of `topic` is there. Raises RegistryAway."""
        text = json.dumps(library.source(topic), ensure_ascii=False, separators=(",", ":"))
        status, told = self._call("POST", f"/subjects/{quote(topic)}-value", {"schema": text})
        if status not in (200, 404):
            raise self._away(f"/subjects/{topic}-value", status, told)
        return status == 200

    def _register(self, subject: str, text: str) -> int:
        """The schema's id; who may only read a registry finds what others registered."""
        path = f"/subjects/{quote(subject)}"
        status, told = self._call("POST", path, {"schema": text})
        if status == 404:
            path += "/versions"
            status, told = self._call("POST", path, {"schema": text})
        schema_id = told.get("id")
        if status == 200 and isinstance(schema_id, int) and 0 <= schema_id < 1 << 32:
            return schema_id
        if 400 <= status < 500 and status not in (404, 408, 429):
            raise RegistryRefuses(
                f"the schema registry {self.place} does not take the schema of {subject} ({status}: {_shown(told)}): "
                f"allow it, register schemas/{subject.removesuffix('-value')}.avsc yourself, or leave "
                f"LOYALTY_SCHEMA_REGISTRY_URL empty"
            )
        raise self._away(path, status, told)

    def _hold_compatible(self, subject: str) -> bool:
        """See that the subject is under `COMPATIBILITY`. False where the subject must be there first."""
        path = f"/config/{quote(subject)}"
        status, told = self._call("GET", path)
        if status == 200 and told.get("compatibilityLevel") == COMPATIBILITY:
            return True
        status, told = self._call("PUT", path, {"compatibility": COMPATIBILITY})
        if status == 404:
            return False
        if 400 <= status < 500:
            log.warning("%s does not let %s be %s (%d: %s)", self.place, subject, COMPATIBILITY, status, _shown(told))
        elif status != 200:
            raise self._away(path, status, told)
        return True

    def _away(self, path: str, status: int, told: Any) -> RegistryAway:
        hint = "; check LOYALTY_SCHEMA_REGISTRY_URL, _USER and _PASSWORD" if 400 <= status < 500 else ""
        return RegistryAway(f"the schema registry {self.place}{path} answers {status}: {_shown(told)}{hint}")

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON (a list under ""). Raises RegistryAway where there is no HTTP answer, or no JSON in a 200."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.place + path, data, {"Accept": f"{_JSON}, application/json"}, method=method)
        if data is not None:
            request.add_header("Content-Type", _JSON)
        if self._login:
            request.add_unredirected_header("Authorization", self._login)
        give_up = time.monotonic() + self._timeout_s
        try:
            try:
                with urlopen(request, timeout=self._timeout_s) as answer:
                    return answer.status, _json(_read(answer, give_up))
            except HTTPError as refused:
                with refused:
                    raw = _read(refused, give_up)
                try:
                    return refused.code, _json(raw)
                except ValueError:
                    return refused.code, {"": raw[:_SHOWN].decode("utf-8", "replace")}
        except (OSError, HTTPException, ValueError) as error:
            raise RegistryAway(f"the schema registry {self.place}{path} gives no answer: {_why(error)}") from error


def _read(answer: HTTPResponse | HTTPError, give_up: float) -> bytes:
    """All of it, by the deadline: a server that sends a byte now and then is away, too."""
    parts, size = [], 0
    while part := answer.read1(65_536):
        parts.append(part)
        size += len(part)
        if size > _ANSWER_BYTES_MAX:
            raise ValueError(f"more than {_ANSWER_BYTES_MAX:,} bytes")
        if time.monotonic() > give_up:
            raise TimeoutError("it answers too slowly")
    return b"".join(parts)


def _json(raw: bytes) -> dict[str, Any]:
    told = json.loads(raw)
    return told if isinstance(told, dict) else {"": told}


def _shown(told: dict[str, Any]) -> str:
    text = str(told.get("message") or told.get("", told))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)
