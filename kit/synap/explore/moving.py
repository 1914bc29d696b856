"""Moving messages of a queue to a log or another queue: those that arrived are acknowledged, the others go back."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pyarrow as pa

from ...core import progress
from ...core.errors import Interrupted, KitError, TransportError
from ...core.html import one_line
from ...core.log.copying.copied import Copied
from ...core.log.copying.mask import Mask
from ...core.log.copying.sending import Sender
from ...core.log.places import count_of
from ...core.log.source import Ranged
from .. import inputs
from ..client.client import SynapClient
from ..errors import SynapError, SynapInputError
from ..types import QueueMessage

_AT_ONCE = 100


def move(
    client: SynapClient, queue: str, to: Ranged | str, limit: int | None, mask: Any, mask_key: Any, consumer_id: str
) -> Copied:
    """See `Synap.move`."""
    queue, most = inputs.name(queue, "a queue"), count_of(limit, "limit", SynapInputError)
    hidden = None if mask is None else Mask(mask, mask_key, SynapInputError)
    if to == queue:
        raise SynapInputError(f"the queue {queue!r} is moved to itself", hint="name another queue")
    depth = int(client.queue.stats(queue)["depth"])
    left = depth if most is None else min(depth, most)
    label = to if isinstance(to, str) else to.label
    copied = Copied(f"queue {queue}", f"queue {to}" if isinstance(to, str) else label, stop=left, exact=False)
    sender = None if isinstance(to, str) else Sender(to, copied)
    if sender is not None:
        copied.low = sender.target.stop()
    began = time.monotonic()
    taken: list[QueueMessage] = []
    try:
        with progress.bar(left, what=one_line(f"move {queue}")[:40], unit=" messages") as bar:
            while copied.next < left:
                while len(taken) < min(_AT_ONCE, left - copied.next):
                    message = client.queue.consume(queue, consumer_id)
                    if message is None:
                        break
                    taken.append(message)
                if not taken:
                    break
                done = _put(client, to, sender, taken, hidden, copied)
                del taken[:done]
                bar.update(done)
        copied.complete, copied.why = (
            True,
            "all there was" if most is None or left < most else f"limit={most} was reached",
        )
    except KeyboardInterrupt:
        copied.why = "interrupted"
        raise Interrupted(copied, "messages", copied.records) from None
    except KitError as error:
        copied.why = f"{type(error).__name__}: {error.args[0] if error.args else ''}"[:300]
        error.partial = copied  # type: ignore[attr-defined]
        raise
    finally:
        copied.seconds = time.monotonic() - began
        for message in taken:
            with contextlib.suppress(SynapError):  # it is delivered again after its deadline
                client.queue.nack(queue, message.message_id)
    return copied


def _put(
    client: SynapClient, to: Any, sender: Sender | None, taken: list[QueueMessage], mask: Mask | None, copied: Copied
) -> int:
    """Put messages, acknowledge them, and return how many: none where others kept writing to the target first."""
    bodies = pa.array([message.payload for message in taken], pa.binary())
    if mask is not None:
        bodies = mask.page(bodies, pa.array([message.message_id for message in taken]))
    if sender is None:
        count = 1
        try:
            client.queue.publish(to, bodies[0].as_py(), taken[0].priority)
        except TransportError as error:
            copied.uncertain += error.maybe_received
            raise
        copied.records, copied.next = copied.records + 1, copied.next + 1
        copied.bytes += len(bodies[0].as_py())
    else:
        page = pa.RecordBatch.from_arrays([bodies[: sender.rows]], names=["body"])
        count = sender.target.fitting(page)
        if not sender.send(page.slice(0, count), copied.next + count):
            return 0
    for message in taken[:count]:
        try:
            client.queue.ack(copied.source.removeprefix("queue "), message.message_id)
        except SynapError:
            copied.uncertain += 1  # it stays in the queue and is delivered again
    return count
