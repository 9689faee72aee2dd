"""Sensors: paho-mqtt clients over MQTT 3.1.1 with QoS 1, one thread each.

usage: sensors.py HOST PORT NAMES FIRST LAST PAUSE

Each sensor of the comma-separated NAMES publishes its readings FIRST..LAST to
plant/NAME/temp, sleeps PAUSE seconds after each, connects again whenever the
connection is lost, and sends again what was not acknowledged. Lines on standard
output: "acked NAME NUMBER" for each PUBACK, "done" when all have theirs.
"""
import socket
import sys
import threading
import time
import zlib

import paho.mqtt.client as mqtt

WINDOW = 20  # readings sent and not acknowledged

say = threading.Lock()


def tell(line):
    with say:
        print(line, flush=True)


def encode(name, n):
    text = "%s %d %s" % (name, n, "x" * (n * 7 % 90))
    return "%s %08x" % (text, zlib.crc32(text.encode()))


class Sensor(threading.Thread):
    """One thread does all for its client, so nothing can be published between a
    new connection and the readings that are sent again on it."""

    def __init__(self, host, port, name, first, last, pause):
        super().__init__()
        self.host, self.port, self.name_, self.pause = host, port, name, pause
        self.next, self.last = first, last
        self.waiting = {}  # packet identifier -> number
        self.online = False
        self.client = mqtt.Client(client_id=name, clean_session=False, protocol=mqtt.MQTTv311)
        self.client.max_inflight_messages_set(WINDOW)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_publish = self.on_publish

    def on_connect(self, client, userdata, flags, rc):
        self.online = rc == 0

    def on_disconnect(self, client, userdata, rc):
        self.online = False

    def on_publish(self, client, userdata, mid):
        tell("acked %s %d" % (self.name_, self.waiting.pop(mid)))

    def run(self):
        while self.next <= self.last or self.waiting:
            if self.client.loop(0.01) != mqtt.MQTT_ERR_SUCCESS:
                self.online = False
                self.connect()
            while self.online and self.next <= self.last and len(self.waiting) < WINDOW:
                self.publish()
                if self.pause:
                    break
        self.client.disconnect()

    def connect(self):
        try:
            self.client.connect(self.host, self.port, keepalive=30)
        except (OSError, socket.timeout):
            time.sleep(0.1)

    def publish(self):
        info = self.client.publish("plant/%s/temp" % self.name_, encode(self.name_, self.next), qos=1)
        self.waiting[info.mid] = self.next
        self.next += 1
        if self.pause:
            time.sleep(self.pause)


def main():
    host, port, names, first, last, pause = sys.argv[1:]
    sensors = [Sensor(host, int(port), n, int(first), int(last), float(pause)) for n in names.split(",")]
    for s in sensors:
        s.start()
    for s in sensors:
        s.join()
    tell("done")


main()
