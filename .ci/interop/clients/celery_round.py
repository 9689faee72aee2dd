"""Celery against a broker: each function is one thing that programs rely on.

usage: celery_round.py

The environment is that of celery_tasks.py; a worker runs beside. Prints one
line for each function that passed; ends with code 1 and a traceback at the
first that did not. "kill the worker" asks the test to do just that, and to
start another.
"""
import datetime
import os
import time

from celery import chain, group
from celery.exceptions import TaskRevokedError
from celery_tasks import add, app, fail, moment, survive, third_time

LIMIT = 60  # seconds for any result


def results_come_back():
    assert add.delay(2, 3).get(timeout=LIMIT) == 5
    many = [add.delay(i, i) for i in range(200)]
    assert [r.get(timeout=LIMIT) for r in many] == [2 * i for i in range(200)]


def errors_come_back():
    try:
        fail.delay().get(timeout=LIMIT)
    except ValueError as e:
        assert str(e) == "as asked", e
    else:
        raise AssertionError("no error")


def chains_and_groups_run():
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=LIMIT) == 10
    assert group(add.s(i, 1) for i in range(10))().get(timeout=LIMIT) == list(range(1, 11))


def retries_wait_for_their_countdown():
    began = time.time()
    assert third_time.delay().get(timeout=LIMIT) == 2
    assert time.time() - began >= 1, "two countdowns of 0.5 s took %.2f s" % (time.time() - began)


def eta_is_kept():
    eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1.5)
    done = moment.apply_async(eta=eta).get(timeout=LIMIT)
    assert done >= eta.timestamp(), "%.2f s too early" % (eta.timestamp() - done)


def expired_tasks_are_dropped():
    late = moment.apply_async(countdown=1, expires=0.2)
    try:
        late.get(timeout=LIMIT)
    except TaskRevokedError:
        return
    raise AssertionError("the task ran")


def workers_answer_a_broadcast():
    end = time.monotonic() + LIMIT
    answers = []
    while not answers and time.monotonic() < end:
        answers = app.control.ping(timeout=2)
    assert len(answers) == 1 and list(answers[0].values()) == [{"ok": "pong"}], answers


def a_killed_workers_task_runs_again():
    result = survive.delay("survivor")
    end = time.monotonic() + LIMIT
    while not os.listdir(os.environ["WITNESS"]):
        assert time.monotonic() < end, "the task was not begun"
        time.sleep(0.05)
    print("kill the worker", flush=True)
    assert result.get(timeout=LIMIT) == "survivor"
    assert len(os.listdir(os.environ["WITNESS"])) == 2, os.listdir(os.environ["WITNESS"])


for step in (results_come_back, errors_come_back, chains_and_groups_run, retries_wait_for_their_countdown,
             eta_is_kept, expired_tasks_are_dropped, workers_answer_a_broadcast, a_killed_workers_task_runs_again):
    step()
    print("ok", step.__name__, flush=True)
