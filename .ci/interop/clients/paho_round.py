"""The round of python3-paho-mqtt in one version of the protocol.

usage: paho_round.py HOST PORT VERSION(4|5) PREFIX
"""
import queue
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

WAIT = 60  # seconds for anything to happen
QUIET = 0.5  # seconds after which nothing more is expected
FOREVER = 0xFFFFFFFF


class Client:
    """A paho client with a thread of its own, and what came in for it."""

    def __init__(self, name, keep=False, will=None):
        self.messages = queue.Queue()
        self.granted = queue.Queue()
        self.online = queue.Queue()
        self.keep = keep
        options = {} if V5 else {"clean_session": not keep}
        self.client = c = mqtt.Client(client_id=PREFIX + name, protocol=VERSION, **options)
        if will:
            c.will_set(*will, qos=1)
        c.on_message = lambda client, userdata, m: self.messages.put(m)
        if V5:
            c.on_connect = lambda client, userdata, flags, rc, props: self.online.put((flags, rc, props))
            c.on_subscribe = lambda client, userdata, mid, codes, props: self.granted.put([x.value for x in codes])
        else:
            c.on_connect = lambda client, userdata, flags, rc: self.online.put((flags, rc, None))
            c.on_subscribe = lambda client, userdata, mid, granted: self.granted.put(list(granted))

    def __enter__(self):
        options = {}
        if V5:
            props = Properties(PacketTypes.CONNECT)
            if self.keep:
                props.SessionExpiryInterval = 3600
            options = {"clean_start": not self.keep, "properties": props}
        self.client.connect(HOST, PORT, **options)
        self.client.loop_start()
        flags, rc, self.connack = self.online.get(timeout=WAIT)
        assert rc == 0, rc
        self.present = bool(flags["session present"])
        return self

    def __exit__(self, *unused):
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, topic, qos=0, **options):
        if options:
            options = {"options": SubscribeOptions(qos=qos, **options)}
            self.client.subscribe(topic, **options)
        else:
            self.client.subscribe(topic, qos=qos)
        granted = self.granted.get(timeout=WAIT)
        assert granted == [qos], granted

    def publish(self, topic, text, qos=1, retain=False, **props):
        options = {}
        if props:
            options["properties"] = properties(**props)
        info = self.client.publish(topic, text, qos=qos, retain=retain, **options)
        info.wait_for_publish(WAIT)
        assert info.is_published()

    def get(self):
        return self.messages.get(timeout=WAIT)

    def texts(self, n):
        return [self.get().payload.decode() for _ in range(n)]

    def nothing(self):
        try:
            m = self.messages.get(timeout=QUIET)
        except queue.Empty:
            return
        raise AssertionError("got %s %r" % (m.topic, m.payload))


def properties(**values):
    props = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(props, name, value)
    return props


def each_quality_delivers_in_the_lower_of_two():
    for asked in (0, 1, 2):
        with Client("q%d" % asked) as c:
            c.subscribe(PREFIX + "q/%d" % asked, asked)
            for sent in (0, 1, 2):
                c.publish(PREFIX + "q/%d" % asked, "x%d" % sent, sent)
                m = c.get()
                assert (m.payload, m.qos) == (b"x%d" % sent, min(asked, sent)), (m.payload, m.qos, asked)


def a_stream_keeps_its_order():
    # Two clients: paho 1.6 counts what it receives with QoS 2 as answers to what
    # it has sent, and then sends more than the broker allows.
    for qos in (0, 1, 2):
        with Client("reader") as r, Client("writer") as w:
            r.subscribe(PREFIX + "stream", qos)
            sent = ["%d" % i for i in range(90)]
            for info in [w.client.publish(PREFIX + "stream", s, qos=qos) for s in sent]:
                info.wait_for_publish(WAIT)
                assert info.is_published()
            assert r.texts(len(sent)) == sent
            r.nothing()


def filters_match():
    with Client("one") as one, Client("all") as every:
        one.subscribe(PREFIX + "plant/+/temp", 1)
        every.subscribe(PREFIX + "plant/#", 1)
        for topic in ("plant/1/2/temp", "plant", "plant/3/temp"):
            one.publish(PREFIX + topic, topic)
        assert one.texts(1) == ["plant/3/temp"]
        assert every.texts(3) == ["plant/1/2/temp", "plant", "plant/3/temp"]
        one.nothing()


def retained_values_come_first_and_can_be_cleared():
    topic = PREFIX + "retained"
    with Client("keeper") as c:
        c.publish(topic, "old", retain=True)
        c.publish(topic, "new", retain=True)
        c.subscribe(topic, 1)
        m = c.get()
        assert m.payload == b"new" and m.retain
        c.publish(topic, "live", retain=True)
        m = c.get()
        assert m.payload == b"live" and not m.retain
        c.publish(topic, "", retain=True)
        assert c.get().payload == b""
    with Client("late") as c:
        c.subscribe(topic, 1)
        c.nothing()


def a_will_is_told_unless_the_client_says_goodbye():
    topic = PREFIX + "will"
    with Client("heir") as heir:
        heir.subscribe(topic, 1)
        with Client("polite", will=(topic, "wrong")):
            pass
        heir.nothing()
        lost = Client("lost", will=(topic, "gone"))
        lost.__enter__()
        lost.client.loop_stop()
        lost.client.socket().close()
        assert heir.texts(1) == ["gone"]


def a_session_waits_for_its_client():
    topic = PREFIX + "session"
    with Client("away", keep=True) as c:
        assert not c.present
        c.subscribe(topic, 2)
    with Client("writer") as w:
        for i in range(50):
            w.publish(topic, "%d" % i, 2)
    with Client("away", keep=True) as c:
        assert c.present
        assert c.texts(50) == ["%d" % i for i in range(50)]
        c.nothing()
    with Client("away") as c:
        assert not c.present
    with Client("away", keep=True) as c:
        assert not c.present, "a clean start left the session"


def a_second_connection_takes_the_first_ones_place():
    first = Client("twin")
    gone = threading.Event()
    first.client.on_disconnect = lambda *unused: gone.set()
    first.client.reconnect_delay_set(min_delay=WAIT * 2, max_delay=WAIT * 2)
    first.__enter__()
    with Client("twin"):
        assert gone.wait(WAIT)
    first.__exit__()


def large_messages_come_through():
    body = bytes(range(256)) * 2048  # 512 KiB
    with Client("large") as c:
        c.subscribe(PREFIX + "large", 2)
        for qos in (0, 1, 2):
            c.publish(PREFIX + "large", body, qos)
            assert c.get().payload == body


def properties_come_through():
    with Client("props") as c:
        c.subscribe(PREFIX + "props", 1)
        c.publish(PREFIX + "props", "x", PayloadFormatIndicator=1, MessageExpiryInterval=60, ContentType="text/plain",
                  ResponseTopic=PREFIX + "reply", CorrelationData=b"\x00\x01", UserProperty=[("a", "1"), ("a", "2"), ("b", "")])
        p = c.get().properties
        assert p.PayloadFormatIndicator == 1 and p.ContentType == "text/plain"
        assert p.ResponseTopic == PREFIX + "reply" and p.CorrelationData == b"\x00\x01"
        assert p.UserProperty == [("a", "1"), ("a", "2"), ("b", "")], p.UserProperty
        assert 0 < p.MessageExpiryInterval <= 60


def options_of_subscriptions_are_obeyed():
    topic = PREFIX + "options"
    with Client("options") as c, Client("keeper") as keeper:
        keeper.publish(topic, "kept", retain=True)
        c.subscribe(topic, 1, noLocal=True)
        assert c.get().payload == b"kept"
        c.publish(topic, "own")
        c.nothing()
        c.subscribe(topic, 1, retainAsPublished=True, retainHandling=2)
        c.nothing()
        c.publish(topic, "live", retain=True)
        m = c.get()
        assert m.payload == b"live" and m.retain
        c.publish(topic, "", retain=True)


def aliases_stand_for_topics():
    with Client("alias") as c:
        c.subscribe(PREFIX + "alias", 1)
        if getattr(c.connack, "TopicAliasMaximum", 0) == 0:
            return
        c.publish(PREFIX + "alias", "named", TopicAlias=1)
        assert c.texts(1) == ["named"]


def expired_messages_are_not_delivered():
    topic = PREFIX + "expiry"
    with Client("sleeper", keep=True) as c:
        c.subscribe(topic, 1)
    with Client("writer") as w:
        w.publish(topic, "short", MessageExpiryInterval=1)
        w.publish(topic, "long", MessageExpiryInterval=100)
    time.sleep(2.5)
    with Client("sleeper", keep=True) as c:
        assert c.texts(1) == ["long"]
        c.nothing()


def shared_subscriptions_share():
    topic = PREFIX + "shared"
    with Client("left") as left, Client("right") as right, Client("whole") as whole:
        for c in (left, right):
            c.subscribe("$share/group/" + topic, 1)
        whole.subscribe(topic, 1)
        sent = ["%d" % i for i in range(100)]
        for s in sent:
            whole.publish(topic, s)
        assert whole.texts(100) == sent
        end = time.monotonic() + WAIT
        while left.messages.qsize() + right.messages.qsize() < len(sent) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(QUIET)  # for what might come twice
        got = [[c.get().payload.decode() for _ in range(c.messages.qsize())] for c in (left, right)]
        assert sorted(got[0] + got[1], key=int) == sent, got
        assert got[0] and got[1], "one of the group got all"


HOST, PORT, VERSION, PREFIX = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
V5 = VERSION == mqtt.MQTTv5
ROUND = [each_quality_delivers_in_the_lower_of_two, a_stream_keeps_its_order, filters_match,
         retained_values_come_first_and_can_be_cleared, a_will_is_told_unless_the_client_says_goodbye,
         a_session_waits_for_its_client, a_second_connection_takes_the_first_ones_place, large_messages_come_through,
         shared_subscriptions_share]
if V5:
    ROUND += [properties_come_through, options_of_subscriptions_are_obeyed, aliases_stand_for_topics,
              expired_messages_are_not_delivered]
failed = 0
for step in ROUND:
    try:
        step()
    except Exception as e:  # each case is told, whatever it died of
        failed += 1
        print("failed %s: %s: %s" % (step.__name__, type(e).__name__, str(e).replace("\n", " ")), flush=True)
    else:
        print("ok", step.__name__, flush=True)
sys.exit(failed > 0)
