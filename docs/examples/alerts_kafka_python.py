"""Prints each alert to act on, once: a subscriber that knows Kafka and Avro and nothing of this project's code.

    pip install kafka-python fastavro
    python docs/examples/alerts_kafka_python.py 127.0.0.1:9392 schemas alerts.db

Kafka: addresses by comma. schemas: the folder of the .avsc files. alerts.db: what was done; keep it between runs.
Where the programme has a schema registry, values are Confluent-framed: decode them with your registry's own library.
"""

import json
import sqlite3
import sys
from io import BytesIO
from pathlib import Path

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form
from kafka import KafkaConsumer

WANTED = {"level": {b"AT_RISK", b"LOST"}, "holdout": {b"false"},
          "transition": {b"RAISED", b"WORSENED", b"LOST", b"FADING"}}  # fmt: skip


def main(kafka: str, folder: Path, done: str) -> None:
    writers, mine = released(folder), parse_schema(json.loads((folder / "churn-risk.avsc").read_text("utf-8")))
    database = sqlite3.connect(done)
    database.execute("CREATE TABLE IF NOT EXISTS alerts (event_id TEXT PRIMARY KEY)")
    consumer = KafkaConsumer("churn-risk", bootstrap_servers=kafka.split(","), group_id="alerts-example",
                             isolation_level="read_committed", auto_offset_reset="earliest",
                             enable_auto_commit=False)  # fmt: skip
    while True:
        for record in (record for records in consumer.poll(timeout_ms=1000).values() for record in records):
            headers = dict(record.headers)
            if all(headers.get(name) in values for name, values in WANTED.items()):  # the others need no decoding
                act_once(database, decoded(record.value, writers, mine))
        consumer.commit()  # after the work: what a crash leaves undone comes again, and what was done is known


def released(folder: Path) -> dict[bytes, dict]:
    """Every schema that an alert may have been written under, by the 8 bytes that stand in the record."""
    schemas = [json.loads(path.read_text("utf-8")) for path in folder.glob("released/churn-risk/*.avsc")]
    marks = [fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO") for schema in schemas]
    return {bytes.fromhex(mark): parse_schema(schema) for mark, schema in zip(marks, schemas, strict=True)}


def decoded(value: bytes, writers: dict[bytes, dict], mine: dict) -> dict:
    """c3 01, the fingerprint of the writer's schema, Avro. KeyError: the folder lacks a newer release, fetch it."""
    return schemaless_reader(BytesIO(value[10:]), writers[value[2:10]], mine)


def act_once(database: sqlite3.Connection, alert: dict) -> None:
    with database:  # a transaction: what you write here yourself is done together with the mark, or not at all
        if database.execute("INSERT OR IGNORE INTO alerts VALUES (?)", [alert["event_id"]]).rowcount:
            print(alert["customer_id"], alert["level"], alert["reasons"][0]["text"], sep="\t", flush=True)


main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
