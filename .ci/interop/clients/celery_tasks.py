"""A Celery application: tasks, and the worker when it is run as
`python3 -m celery -A celery_tasks worker`.

The broker is $BROKER_URL; results come back through it by rpc://. Tasks write
what they did to the folder $WITNESS, one file for each attempt.
"""
import os
import time
import uuid

from celery import Celery

app = Celery("leveret", broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.update(
    broker_connection_timeout=30,
    task_acks_late=False,
    worker_prefetch_multiplier=4,
    result_expires=60,
)


def witness(what):
    path = os.path.join(os.environ["WITNESS"], "%s.%s" % (what, uuid.uuid4()))
    with open(path, "w"):
        pass


@app.task
def add(x, y):
    return x + y


@app.task
def fail():
    raise ValueError("as asked")


@app.task(bind=True, max_retries=3)
def third_time(self):
    """Fails twice, each time to be tried again after half a second."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.5)
    return self.request.retries


@app.task
def moment():
    return time.time()


@app.task(acks_late=True, reject_on_worker_lost=True)
def survive(name):
    """Takes so long the first time that its worker is killed meanwhile."""
    first = not any(f.startswith(name) for f in os.listdir(os.environ["WITNESS"]))
    witness(name)
    if first:
        time.sleep(600)
    return name
