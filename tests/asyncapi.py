"""Writes docs/asyncapi.yaml: every topic, key, header, setting and schema, in AsyncAPI 3 for the tools that read it.

    python -m tests.asyncapi > docs/asyncapi.yaml

All of it comes from `schemas/topics.py` and `schemas/*.avsc`; what only prose says (headers, framing, who may write)
stands here. `tests/deploy/test_asyncapi.py` holds the file current, and valid by AsyncAPI's own schema.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from schemas import library
from schemas.cloudevents import CONTENT_TYPE, type_of
from schemas.topics import (
    CARE_REMINDERS,
    CHURN_RISK,
    CUSTOMER_VALUE,
    CUSTOMERS,
    DEAD_LETTERS,
    EMPLOYEE_GRADES,
    PARTITIONS_DEFAULT,
    TICKS,
    TIER_CHANGES,
    TOLD,
    TOPICS,
    Topic,
)
from streams import __version__

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "asyncapi.yaml"
Node = dict[str, Any]

INFO = """\
What goes into the loyalty stream and what comes out of it. An operation says what the *workers* do: on a channel that
they `receive` from you send, to one that they `send` to you subscribe.

Values are Avro in single-object encoding: the bytes `c3 01`, the CRC-64-AVRO fingerprint of the writer's schema in
parsing canonical form (8 bytes, little-endian, `x-fingerprint` of the newest), then the body. Where the operator has
set a schema registry, Confluent's framing is read too and written on outputs. Records are placed by murmur2 of the key,
as Kafka's Java client does; librdkafka needs `partitioner=murmur2_random`. Outputs are written in transactions: read
them with `isolation.level=read_committed`.
"""
SERVERS = {
    "local": {"host": "127.0.0.1:9392", "protocol": "kafka", "description": "`loyalty stack up`; loopback only."},
    "secure": {
        "host": "{host}:{port}",
        "protocol": "kafka-secure",
        "description": "SASL over TLS, each role with the least rights (docs/security.md).",
        "variables": {"host": {"description": "A broker."}, "port": {"default": "9093"}},
        "security": [{"$ref": "#/components/securitySchemes/scram"}],
    },
}
KEYS = {
    "customer": "The customer's id in UTF-8, 1 to 128 bytes, the same as `customer_id` in the value.",
    "employee": "The employee's id in UTF-8.",
    "partition": "The number of the partition, in decimal.",
    "identity": "The HMAC of an erased id, or a merged id.",
    "policy": "`name@version#` and the first 8 hex digits of the text's SHA-256.",
    "original": "The key of the original record as it came.",
}
ERASED = {
    CUSTOMERS: "Forget this customer: all that is held of them goes, and their earlier events are dropped for good.",
    CUSTOMER_VALUE: "The customer was erased.",
    TOLD: "The customer was erased.",
}
"""Topics on which a null value says something, and what."""

CLOUDEVENTS = {
    "ce_specversion": "CloudEvents, Kafka binding, binary mode: 1.0.",
    "ce_id": "The `event_id`: the same whatever is replayed. Act once for each.",
    "ce_source": "`loyalty/` and the partition.",
    "ce_type": "The full name of the Avro record.",
    "ce_time": "The instant `at`, RFC 3339.",
    "content-type": CONTENT_TYPE.decode() + ".",
}
FILTERS = {
    TIER_CHANGES: {"tier": "The new tier."},
    CHURN_RISK: {
        "tier": "The customer's tier.",
        "level": "As in the value.",
        "transition": "As in the value.",
        "holdout": "`true` or `false`: act only where it is false.",
    },
    CARE_REMINDERS: {
        "tier": "The customer's tier.",
        "kind": "As in the value.",
        "status": "As in the value: act on DUE and ESCALATED.",
    },
    EMPLOYEE_GRADES: {"grade": "The new grade."},
}
"""Headers by which a reader can skip without decoding."""

DEAD = {
    "dlq.topic": "Where the record lay.",
    "dlq.partition": "Its partition.",
    "dlq.offset": "Its offset.",
    "dlq.error": "The class of the error (docs/use/wire-format.md has all).",
    "dlq.message": "The field and what was wrong with it.",
    "dlq.at": "When it was refused, UTC milliseconds.",
}
TRACED = {"traceparent": "W3C trace context of the batch that told it, where LOYALTY_TRACES is on."}
DEAD_SOMETIMES = {
    "dlq.retry": "How often it was sent again.",
    "dlq.size": "Its size in bytes, where only its beginning is kept.",
}


def document() -> Node:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:loyalty:v1",
        "info": {
            "title": "Loyalty",
            "version": __version__,
            "description": INFO,
            "license": {"name": "MIT"},
        },
        "defaultContentType": CONTENT_TYPE.decode(),
        "servers": SERVERS,
        "channels": {topic.name: channel(topic) for topic in TOPICS.values()},
        "operations": dict(pair for topic in TOPICS.values() for pair in operations(topic)),
        "components": {
            "messages": dict(pair for topic in TOPICS.values() for pair in messages(topic)),
            "securitySchemes": {"scram": {"type": "scramSha512", "description": "A user of the broker's."}},
        },
    }


def channel(topic: Topic) -> Node:
    """One topic: its messages, its settings at the broker."""
    doc = library.source(topic.name)["doc"] if topic.schema else "Records that could not become an event, as they came."
    return {
        "address": topic.name,
        "title": topic.name,
        "description": doc,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name, _ in messages(topic)},
        "tags": [{"name": topic.direction}],
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions or PARTITIONS_DEFAULT,
                "topicConfiguration": configuration(topic),
                "bindingVersion": "0.5.0",
            }
        },
    }


def configuration(topic: Topic) -> Node:
    """The broker's settings in the types that the binding asks for."""
    kept = {name: int(value) if value.lstrip("-").isdecimal() else value for name, value in topic.config().items()}
    return kept | {"cleanup.policy": [kept["cleanup.policy"]]}


def operations(topic: Topic) -> list[tuple[str, Node]]:
    """What the workers do with a topic."""
    actions = {"in": ["receive"], "out": ["send"], "internal": ["send", "receive"]}[topic.direction]
    if topic.name == TICKS:
        actions = ["send", "receive"]  # the leader of the workers writes what all of them read
    reference = f"#/channels/{topic.name}"
    return [
        (
            f"{action}-{topic.name}",
            {
                "action": action,
                "channel": {"$ref": reference},
                "messages": [{"$ref": f"{reference}/messages/{name}"} for name, _ in messages(topic)],
            },
        )
        for action in actions
    ]


def messages(topic: Topic) -> list[tuple[str, Node]]:
    """By name: what a topic carries. More than one where a null value says something."""
    if topic.schema is None:
        return [("DeadLetter", dead_letter())]
    schema = library.source(topic.name)
    name = str(schema["name"])
    whole = {
        "name": type_of(topic.name),
        "title": name,
        "summary": schema["doc"],
        "contentType": CONTENT_TYPE.decode(),
        **headers(topic),
        "payload": {"schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": schema},
        "bindings": bindings(topic),
        "x-fingerprint": library.newest_fingerprint(topic.name).hex(" "),
    }
    if topic.name not in ERASED:
        return [(name, whole)]
    null = {
        "name": f"{type_of(topic.name)}Erased",
        "title": f"{name}, null value",
        "summary": ERASED[topic.name],
        "payload": {"type": "null"},
        "bindings": bindings(topic),
    }
    return [(name, whole), (f"{name}Erased", null)]


def dead_letter() -> Node:
    """The record that was refused: somebody else's bytes, so the payload has no schema."""
    return {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "The original value, key and headers of a record that could not become an event, and why.",
        "contentType": "application/octet-stream",
        "headers": _headers(DEAD, DEAD_SOMETIMES),
        "payload": {"description": "The bytes as they came."},
        "bindings": bindings(TOPICS[DEAD_LETTERS]),
    }


def headers(topic: Topic) -> Node:
    """`headers` of a message that has any."""
    return {"headers": _headers(CLOUDEVENTS | FILTERS[topic.name], TRACED)} if topic.name in FILTERS else {}


def _headers(always: dict[str, str], sometimes: dict[str, str]) -> Node:
    described = {name: {"type": "string", "description": said} for name, said in {**always, **sometimes}.items()}
    return {"type": "object", "required": list(always), "properties": described}


def bindings(topic: Topic) -> Node:
    """The record's key."""
    if topic.key == "none":
        return {"kafka": {"bindingVersion": "0.5.0"}}
    return {"kafka": {"key": {"type": "string", "description": KEYS[topic.key]}, "bindingVersion": "0.5.0"}}


class _Plain(yaml.SafeDumper):
    """Without anchors, texts of several lines as blocks: what a person reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Plain, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def page() -> str:
    """The file's text."""
    head = "# Written from schemas/ by `python -m tests.asyncapi > docs/asyncapi.yaml`; a test holds it current.\n"
    return head + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=118)


if __name__ == "__main__":
    sys.stdout.write(page())
