"""A program on the gateway: a pika consumer with manual acknowledgements.

usage: reader.py URL QUEUE

Declares the durable QUEUE, binds it to amq.topic, prints "got TEXT" for each
message before it acknowledges it, and connects again whenever the connection
is lost.
"""
import sys
import time

import pika

PREFETCH = 50


def consume(url, queue):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "amq.topic", "#")
    channel.basic_qos(prefetch_count=PREFETCH)

    def got(ch, method, properties, body):
        print("got " + body.decode("latin-1"), flush=True)
        ch.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, got)
    channel.start_consuming()


def main():
    url, queue = sys.argv[1:]
    while True:
        try:
            consume(url, queue)
        except (pika.exceptions.AMQPError, OSError) as e:
            print("lost the connection: %r" % e, flush=True)
            time.sleep(0.1)


main()
