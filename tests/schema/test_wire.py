from __future__ import annotations

from typing import Any

from kombu.messaging import Consumer

from schema import wire


def test_messages_whose_acknowledgement_was_lost_do_not_keep_the_next_ones_away(redis_url: str) -> None:
    app = wire.celery_app(redis_url, name="deaf")
    for number in range(5):
        app.send_task(wire.HEARTBEAT, args=[number], queue=wire.MASTER_QUEUE)
    heard: list[Any] = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        queue = app.amqp.queues[wire.MASTER_QUEUE]
        consumer: Any = Consumer(channel, [queue(channel)], accept=["json"])  # type: ignore[no-untyped-call]
        consumer.register_callback(lambda body, _message: heard.append(body[0][0]))  # and never acknowledges it
        consumer.qos(prefetch_count=2 * app.conf.worker_prefetch_multiplier)  # as the worker of two threads does
        with consumer:
            while len(heard) < 5:
                connection.drain_events(timeout=5)

    assert heard == [0, 1, 2, 3, 4]
