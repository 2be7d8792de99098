"""Keys on stdin, one in hex a line; on stdout the hash and the partition of 12 as Kafka's own Java code has them.

usage: java_murmur2.py JAVA_HOME CLASSPATH     run apart from the tests: a JVM in a process stays until its end
"""

from __future__ import annotations

import sys
from pathlib import Path

import jpype


def main(java_home: str, classpath: str) -> None:
    library = next(Path(java_home).rglob("libjvm.*"))
    jpype.startJVM(str(library), "--enable-native-access=ALL-UNNAMED", classpath=classpath.split(":"))
    utils = jpype.JClass("org.apache.kafka.common.utils.Utils")
    partitioner = jpype.JClass("org.apache.kafka.clients.producer.internals.BuiltInPartitioner")
    array = jpype.JArray(jpype.JByte)
    for line in sys.stdin:
        key = array(bytes.fromhex(line))
        print(int(utils.murmur2(key)), int(partitioner.partitionForKey(key, 12)))


if __name__ == "__main__":
    main(*sys.argv[1:])
