"""The production loop in a small world: Kafka, Redis and the workers as models, time and faults from one seed.

kafka.py      logs with offsets, transactions, markers, gaps; fenced producers
shop.py       a year and more of a shop, good and bad, as input logs
faults.py     which faults there are, how often, and what happened
publisher.py  the outbox to Kafka, in transactions, with its position
world.py      workers that own partitions, one small step at a time, in any order
judge.py      what must hold when all is quiet
"""
