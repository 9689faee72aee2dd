"""The common patterns of programs on a broker, in pika.

usage: pika_patterns.py URL PREFIX

PREFIX begins every name that is declared. Prints one line for each pattern that
passed; ends with code 1 and a traceback at the first that did not.
"""
import sys
import time

import pika

LIMIT = 60  # seconds for whatever must arrive


def open_channel():
    return pika.BlockingConnection(pika.URLParameters(URL)).channel()


def serve(ch, done):
    """Runs the callbacks of ch until done() is true."""
    end = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < end, "not within %d s" % LIMIT
        ch.connection.process_data_events(time_limit=0.05)


def collect(ch, exchange, *keys):
    """What a queue of its own, bound with the keys, gets."""
    q, got = ch.queue_declare("", exclusive=True).method.queue, []
    for key in keys:
        ch.queue_bind(q, exchange, key)
    ch.basic_consume(q, lambda c, m, p, body: got.append(body), auto_ack=True)
    return got


def work_queue(ch):
    """Two workers, one of them slow: with a prefetch of one it gets little."""
    q = PREFIX + "work"
    ch.queue_declare(q, durable=True)
    done = {"quick": 0, "slow": 0}
    held = []
    slow, quick = open_channel(), open_channel()
    for worker in (slow, quick):
        worker.basic_qos(prefetch_count=1)

    def on_quick(c, m, p, body):
        done["quick"] += 1
        c.basic_ack(m.delivery_tag)

    slow.basic_consume(q, lambda c, m, p, body: held.append(m.delivery_tag))
    quick.basic_consume(q, on_quick)
    for i in range(20):
        ch.basic_publish("", q, b"%d" % i, pika.BasicProperties(delivery_mode=2))
    serve(slow, lambda: held)
    serve(quick, lambda: done["quick"] == 19)
    assert len(held) == 1, held
    slow.connection.close()  # it never acknowledged: another does its work
    serve(quick, lambda: done["quick"] == 20)
    quick.connection.close()
    ch.queue_delete(q)


def publish_subscribe(ch):
    x = PREFIX + "news"
    ch.exchange_declare(x, "fanout", auto_delete=True)
    first, second = collect(ch, x, ""), collect(ch, x, "")
    for i in range(10):
        ch.basic_publish(x, "ignored", b"%d" % i)
    want = [b"%d" % i for i in range(10)]
    serve(ch, lambda: len(first) == 10 and len(second) == 10)
    assert first == want and second == want


def routing(ch):
    x = PREFIX + "logs"
    ch.exchange_declare(x, "direct", auto_delete=True)
    errors, all_of_them = collect(ch, x, "error"), collect(ch, x, "info", "error")
    for severity in ("info", "error", "debug", "error"):
        ch.basic_publish(x, severity, severity.encode())
    serve(ch, lambda: len(all_of_them) == 3)
    assert all_of_them == [b"info", b"error", b"error"] and errors == [b"error", b"error"]


def topics(ch):
    x = PREFIX + "plant"
    ch.exchange_declare(x, "topic", auto_delete=True)
    temps, pump = collect(ch, x, "*.temp"), collect(ch, x, "pump.#", "*.temp.high")
    for key in ("pump.temp", "pump", "mixer.temp.high", "pump.temp.high", "mixer.temp", "other"):
        ch.basic_publish(x, key, key.encode())
    serve(ch, lambda: len(pump) == 4 and len(temps) == 2)
    assert temps == [b"pump.temp", b"mixer.temp"], temps
    assert pump == [b"pump.temp", b"pump", b"mixer.temp.high", b"pump.temp.high"], pump


def rpc_with_direct_reply_to(ch):
    server, q = open_channel(), PREFIX + "rpc"
    server.queue_declare(q, exclusive=True)

    def answer(c, m, p, body):
        c.basic_publish("", p.reply_to, body.upper(), pika.BasicProperties(correlation_id=p.correlation_id))

    server.basic_consume(q, answer, auto_ack=True)
    replies = {}
    ch.basic_consume("amq.rabbitmq.reply-to", lambda c, m, p, body: replies.update({p.correlation_id: body}), auto_ack=True)
    for i in range(10):
        ch.basic_publish("", q, b"call %d" % i,
                         pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(i)))

    def answered():
        server.connection.process_data_events(time_limit=0.01)
        return len(replies) == 10

    serve(ch, answered)
    assert replies == {str(i): b"CALL %d" % i for i in range(10)}, replies
    server.connection.close()


def delayed_retry(ch):
    """A refused message waits in a queue without consumers and comes again."""
    work, wait = PREFIX + "jobs", PREFIX + "jobs.wait"
    ch.queue_declare(work, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
    ch.queue_declare(wait, arguments={"x-message-ttl": 300, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": work})
    tries = []

    def on_job(c, m, p, body):
        deaths = {d["queue"]: d["count"] for d in (p.headers or {}).get("x-death", [])}
        tries.append((time.monotonic(), deaths))
        if len(tries) < 3:
            c.basic_reject(m.delivery_tag, requeue=False)
        else:
            c.basic_ack(m.delivery_tag)

    ch.basic_consume(work, on_job)
    ch.basic_publish("", work, b"job")
    serve(ch, lambda: len(tries) == 3)
    assert [deaths for _, deaths in tries] == [{}, {work: 1, wait: 1}, {work: 2, wait: 2}], tries
    waits = [b[0] - a[0] for a, b in zip(tries, tries[1:])]
    assert min(waits) >= 0.29, "came again after %s s" % waits
    ch.queue_delete(work)
    ch.queue_delete(wait)


def priority_queue(ch):
    q = ch.queue_declare("", exclusive=True, arguments={"x-max-priority": 5}).method.queue
    ch.confirm_delivery()
    for priority in (1, 5, 0, 3, 5, None, 9):
        ch.basic_publish("", q, str(priority).encode(), pika.BasicProperties(priority=priority))
    got = [ch.basic_get(q, auto_ack=True)[2] for _ in range(7)]
    assert got == [b"5", b"5", b"9", b"3", b"1", b"0", b"None"], got


def moving_in_a_transaction(ch):
    """What is taken and what is made of it change places together."""
    source, target = [ch.queue_declare("", exclusive=True).method.queue for _ in range(2)]
    ch.basic_publish("", source, b"raw")
    ch.tx_select()
    for finish, left in ((ch.tx_rollback, None), (ch.tx_commit, b"made of raw")):
        method, _, body = ch.basic_get(source)
        if method is None:  # what a rollback leaves unacknowledged comes back with recover
            ch.basic_recover(requeue=True)
            method, _, body = ch.basic_get(source)
        ch.basic_publish("", target, b"made of " + body)
        ch.basic_ack(method.delivery_tag)
        finish()
        assert ch.basic_get(target)[2] == left
    assert ch.basic_get(source)[0] is None


URL, PREFIX = sys.argv[1:]
for pattern in (work_queue, publish_subscribe, routing, topics, rpc_with_direct_reply_to, delayed_retry,
                priority_queue, moving_in_a_transaction):
    channel = open_channel()
    pattern(channel)
    channel.connection.close()
    print("ok", pattern.__name__, flush=True)
