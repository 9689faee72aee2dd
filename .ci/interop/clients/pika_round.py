"""pika against a broker: each function is one thing that programs rely on.

usage: pika_round.py URL PREFIX

PREFIX begins every name that is declared. Prints one line for each function
that passed; ends with code 1 and a traceback at the first that did not.
"""
import sys
import time

import pika
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

LIMIT = 60  # seconds for whatever must arrive; it says nothing of how soon that is
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def open_channel():
    return pika.BlockingConnection(pika.URLParameters(URL)).channel()


def name(what):
    return PREFIX + what


def get(ch, queue):
    """One message, acknowledged."""
    end = time.monotonic() + LIMIT
    while True:
        method, properties, body = ch.basic_get(queue)
        if method is not None:
            ch.basic_ack(method.delivery_tag)
            return method, properties, body
        assert time.monotonic() < end, "nothing in %s" % queue
        time.sleep(0.01)


def expect_close(code, call, *args, **kwargs):
    """The call closes its channel with the code; the connection stays."""
    ch = open_channel()
    try:
        call(ch, *args, **kwargs)
    except ChannelClosedByBroker as e:
        assert e.reply_code == code, "closed with %d, want %d: %s" % (e.reply_code, code, e.reply_text)
    else:
        raise AssertionError("the channel stayed open, want %d" % code)
    assert ch.connection.is_open
    ch.connection.channel().close()
    ch.connection.close()


def declare_bind_publish_get(ch):
    q = name("basic")
    ok = ch.queue_declare(q, durable=True)
    assert (ok.method.queue, ok.method.message_count, ok.method.consumer_count) == (q, 0, 0)
    ch.queue_bind(q, "amq.direct", "key")
    ch.confirm_delivery()
    ch.basic_publish("amq.direct", "key", b"hello", PERSISTENT)
    method, properties, body = get(ch, q)
    assert body == b"hello" and properties.delivery_mode == 2
    assert (method.exchange, method.routing_key, method.redelivered) == ("amq.direct", "key", False)
    assert ch.basic_get(q) == (None, None, None)
    ch.queue_unbind(q, "amq.direct", "key")
    ch.queue_delete(q)


def all_properties_come_back(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", delivery_mode=1, priority=3,
        correlation_id="c", reply_to="r", expiration="60000", message_id="m", timestamp=1234567890,
        type="t", user_id="guest", app_id="a",
        headers={"text": "x", "int": 7, "big": 1 << 40, "yes": True, "none": None,
                 "list": [1, "two", {"three": 3}], "table": {"inner": {"deep": "value"}}})
    ch.basic_publish("", q, b"", sent)
    got = get(ch, q)[1]
    for field in ("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to",
                  "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "headers"):
        assert getattr(got, field) == getattr(sent, field), field


def exchange_types_route(ch):
    cases = {
        "direct": [("a", "a", True), ("a", "b", False)],
        "fanout": [("a", "anything", True)],
        "topic": [("*.b.#", "a.b", True), ("*.b.#", "a.b.c.d", True), ("*.b.#", "b", False), ("#", "", True)],
    }
    for kind, routes in cases.items():
        for binding, key, arrives in routes:
            x = name(kind)
            ch.exchange_declare(x, kind, durable=True)
            q = ch.queue_declare("", exclusive=True).method.queue
            ch.queue_bind(q, x, binding)
            ch.basic_publish(x, key, b"x")
            time.sleep(0.02)
            assert (ch.basic_get(q, auto_ack=True)[0] is not None) == arrives, (kind, binding, key)
            ch.exchange_delete(x)


def headers_exchange_matches(ch):
    x = name("headers")
    ch.exchange_declare(x, "headers")
    q_all = ch.queue_declare("", exclusive=True).method.queue
    q_any = ch.queue_declare("", exclusive=True).method.queue
    wanted = {"a": 1, "b": "two"}
    ch.queue_bind(q_all, x, "", arguments=dict(wanted, **{"x-match": "all"}))
    ch.queue_bind(q_any, x, "", arguments=dict(wanted, **{"x-match": "any"}))
    ch.basic_publish(x, "", b"both", pika.BasicProperties(headers=wanted))
    ch.basic_publish(x, "", b"one", pika.BasicProperties(headers={"a": 1}))
    assert get(ch, q_all)[2] == b"both" and ch.basic_get(q_all)[0] is None
    assert [get(ch, q_any)[2] for _ in range(2)] == [b"both", b"one"]
    ch.exchange_delete(x)


def exchanges_bind_to_exchanges(ch):
    a, b = name("from"), name("to")
    ch.exchange_declare(a, "topic")
    ch.exchange_declare(b, "fanout")
    ch.exchange_bind(b, a, "x.#")
    q = ch.queue_declare("", exclusive=True).method.queue
    ch.queue_bind(q, b)
    ch.basic_publish(a, "x.y", b"through")
    assert get(ch, q)[2] == b"through"
    ch.exchange_unbind(b, a, "x.#")
    ch.exchange_delete(a)
    ch.exchange_delete(b)


def consumers_get_in_order_and_ack(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    for i in range(200):
        ch.basic_publish("", q, b"%d" % i)
    ch.basic_qos(prefetch_count=10)
    got = []
    for method, _, body in ch.consume(q, inactivity_timeout=LIMIT):
        assert method is not None, "delivery stopped after %d" % len(got)
        got.append(int(body))
        ch.basic_ack(method.delivery_tag)
        if len(got) == 200:
            break
    assert got == list(range(200))
    ch.cancel()


def qos_bounds_what_is_unacked(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    for i in range(5):
        ch.basic_publish("", q, b"%d" % i)
    got = []
    ch.basic_qos(prefetch_count=2)
    ch.basic_consume(q, lambda c, m, p, b: got.append(m.delivery_tag))
    for want in (2, 4):
        end = time.monotonic() + LIMIT
        while len(got) < want and time.monotonic() < end:
            ch.connection.process_data_events(time_limit=0.05)
        ch.connection.process_data_events(time_limit=0.5)  # for one too many
        assert len(got) == want, got
        if want == 2:
            ch.basic_ack(got[-1], multiple=True)


def nacked_ones_come_again_first(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    for body in (b"one", b"two"):
        ch.basic_publish("", q, body)
    method, _, body = ch.basic_get(q)
    assert body == b"one" and not method.redelivered
    ch.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = get(ch, q)
    assert body == b"one" and method.redelivered
    assert get(ch, q)[2] == b"two"


def unacked_ones_come_again_after_close(ch):
    q = name("unacked")
    ch.queue_declare(q)
    ch.basic_publish("", q, b"x")
    other = open_channel()
    assert get_unacked(other, q)
    other.connection.close()
    method, _, body = get(ch, q)
    assert body == b"x" and method.redelivered
    ch.queue_delete(q)


def get_unacked(ch, queue):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        method, _, body = ch.basic_get(queue)
        if method is not None:
            return body
    return None


def unroutable_mandatory_ones_return(ch):
    ch.confirm_delivery()
    try:
        ch.basic_publish("amq.direct", name("nowhere"), b"x", mandatory=True)
    except UnroutableError as e:
        assert e.messages[0].method.reply_code == 312 and e.messages[0].body == b"x"
    else:
        raise AssertionError("nothing came back")
    ch.basic_publish("amq.direct", name("nowhere"), b"x")  # confirmed all the same


def rejected_ones_are_dead_lettered(ch):
    dead = ch.queue_declare("", exclusive=True).method.queue
    ch.queue_bind(dead, "amq.fanout")
    q = ch.queue_declare("", exclusive=True, arguments={"x-dead-letter-exchange": "amq.fanout"}).method.queue
    ch.basic_publish("", q, b"x")
    method, _, _ = ch.basic_get(q)
    ch.basic_reject(method.delivery_tag, requeue=False)
    death = get(ch, dead)[1].headers["x-death"][0]
    assert (death["queue"], death["reason"], death["count"]) == (q, "rejected", 1), death


def expired_ones_are_dead_lettered(ch):
    dead = ch.queue_declare("", exclusive=True).method.queue
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    q = ch.queue_declare("", exclusive=True, arguments=arguments).method.queue
    ch.basic_publish("", q, b"x", pika.BasicProperties(expiration="50"))
    death = get(ch, dead)[1].headers["x-death"][0]
    assert death["reason"] == "expired", death


def full_queues_refuse(ch):
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    q = ch.queue_declare("", exclusive=True, arguments=arguments).method.queue
    ch.confirm_delivery()
    ch.basic_publish("", q, b"fits")
    try:
        ch.basic_publish("", q, b"does not")
    except NackError:
        return
    raise AssertionError("the second was confirmed")


def transactions_commit_and_roll_back(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    ch.tx_select()
    ch.basic_publish("", q, b"undone")
    ch.tx_rollback()
    ch.basic_publish("", q, b"done")
    assert ch.basic_get(q)[0] is None
    ch.tx_commit()
    assert get(ch, q)[2] == b"done"


def large_bodies_come_through(ch):
    q = ch.queue_declare("", exclusive=True).method.queue
    ch.confirm_delivery()
    body = bytes(range(256)) * 4096  # 1 MiB, several frames
    ch.basic_publish("", q, body, PERSISTENT)
    assert get(ch, q)[2] == body


def purge_and_delete_count(ch):
    q = name("purge")
    ch.queue_declare(q)
    ch.confirm_delivery()
    for _ in range(3):
        ch.basic_publish("", q, b"x")
    assert ch.queue_declare(q, passive=True).method.message_count == 3
    assert ch.queue_purge(q).method.message_count == 3
    ch.basic_publish("", q, b"x")
    assert ch.queue_delete(q).method.message_count == 1


def refusals_close_the_channel_only(ch):
    expect_close(404, lambda c: c.queue_declare(name("missing"), passive=True))
    expect_close(404, lambda c: c.basic_get(name("missing")))
    expect_close(403, lambda c: c.exchange_declare("amq.mine", "direct"))
    q = name("refused")
    ch.queue_declare(q, durable=True)
    expect_close(406, lambda c: c.queue_declare(q, durable=False))
    ch.queue_delete(q)
    ch.queue_declare(q, exclusive=True)
    expect_close(405, lambda c: c.queue_declare(q, exclusive=True))


URL, PREFIX = sys.argv[1:]
for step in (declare_bind_publish_get, all_properties_come_back, exchange_types_route, headers_exchange_matches,
             exchanges_bind_to_exchanges, consumers_get_in_order_and_ack, qos_bounds_what_is_unacked,
             nacked_ones_come_again_first, unacked_ones_come_again_after_close, unroutable_mandatory_ones_return,
             rejected_ones_are_dead_lettered, expired_ones_are_dead_lettered, full_queues_refuse,
             transactions_commit_and_roll_back, large_bodies_come_through, purge_and_delete_count,
             refusals_close_the_channel_only):
    channel = open_channel()
    step(channel)
    channel.connection.close()
    print("ok", step.__name__, flush=True)
