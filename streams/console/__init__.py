"""The console: a web page for managers and care staff, and for who keeps the system running (`loyalty console`).

A process of its own that reads Redis and Kafka and stands in no worker's way.

    server.py    routes, what every answer carries, server-sent events     guard.py    who may, and from where
    live.py      what is known now: asked again and again, off the loop    actions.py  what a click writes to Kafka
    survey.py    one pass over all customers, in a process of its own      person.py   one customer
    story.py     what was told lately, by month, from the output topics    pipeline.py lag, rates, stream time
    pages/       a module a page: from what is known to HTML               charts.py   SVG with its table beneath
    markup.py    HTML in which text is always escaped                      words.py    sentences, en and zh
"""
