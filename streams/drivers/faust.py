"""The Kafka driver with Faust, hybrid.

Faust keeps membership and assignments and hosts the agent; the ledger decides what counts. What
Faust does not deliver, and any backlog, is fetched directly by the worker. So Faust's deliveries
are only a hint: each is acknowledged whatever became of it, and Faust's offsets mean nothing.

One thread, the lane, owns the worker with its database connections, states and direct consumers:
everything that touches them waits for its turn there, so none of it needs a lock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import faust
import structlog
import uvloop

from streams.drivers.committed import CommittedTransport
from streams.drivers.steady import SteadyWorker
from streams.drivers.watchdog import Watchdog
from streams.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from faust.types import StreamT

    from streams.drivers.steady import Condition
    from streams.drivers.topic_watch import TopicWatch
    from streams.worker import Worker

    Deliver = Callable[[Sequence[RawRecord]], Sequence[RawRecord]]

P = ParamSpec("P")
T = TypeVar("T")

BATCH_RECORDS = 512
BATCH_WITHIN_S = 0.02
OVERSLEPT_S = 3.0
"""A tick that comes so late means that the process was stopped, or starved."""
LOOK_FOR_BACKLOG_S = 0.2
STOP_WITHIN_S = 15.0
CANCEL_WITHIN_S = 3.0
LEAST_PATIENCE_S = 60
"""Longer than the longest call that may hang on a network that swallows packets."""
REPORT_EVERY_TICKS = 30
"""Ticks between reports while nothing changes."""

log = structlog.get_logger("tocsin.worker")


@dataclass(frozen=True, slots=True)
class FaustSettings:
    """What the driver needs to know of its surroundings."""

    servers: str
    topic: str
    group: str
    """Kafka group id."""
    session_timeout_s: int
    work_dir: Path
    """Where Faust may make the folders that it insists on; they stay empty."""
    drain_lag: int = 3000
    """Records behind at which a partition is read directly."""
    buffer_records: int = 512
    """Deliveries that Faust may hold ready. Few: what waits there while a backlog is drained is
    skipped in the end, and preparing it is work for nothing."""


def build_app(settings: FaustSettings) -> faust.App:
    """Return a Faust application with neither tables nor web server nor topics of its own."""
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    session_s = float(settings.session_timeout_s)
    app = faust.App(
        settings.group,
        broker=[f"kafka://{server}" for server in settings.servers.split(",")],
        datadir=settings.work_dir,
        processing_guarantee="at_least_once",
        agent_supervisor="mode.CrashingSupervisor",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_commit_every=1000,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=min(3.0, session_s / 3),
        broker_request_timeout=max(90.0, session_s + 10),
        broker_max_poll_interval=300.0,
        stream_wait_empty=False,
        stream_buffer_maxsize=settings.buffer_records,
        web_enabled=False,
        web_tables_enabled=False,
        web_router_enabled=False,
        autodiscover=False,
    )
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    return app


def run(
    settings: FaustSettings,
    worker: Worker,
    *,
    beat: Callable[[], None] | None = None,
    watch: TopicWatch | None = None,
    deliver: Deliver | None = None,
) -> int:
    """Work until SIGTERM or SIGINT; return the exit code.

    Parameters
    ----------
    settings
        Where to work.
    worker
        What does the work; from here on used by the lane only.
    beat
        Called in the lane every `BEAT_TICKS`, to tell the group that the worker lives.
    watch
        Used in the lane too; ends the process when the topic was made anew.
    deliver
        Stands between Faust and the worker; for tests that lose deliveries.

    Returns
    -------
    int
        0 after a stop that was asked for, 1 after any fault. A worker that hangs does not
        return: the watchdog ends the process with 3.
    """
    driver = FaustDriver(settings, worker, beat=beat, watch=watch, deliver=deliver)
    # Not asyncio.Runner: it would wait for every task of Faust's, for ever if a broker is away.
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(driver.serve())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class FaustDriver:
    """One Faust application, one lane, one worker."""

    def __init__(
        self,
        settings: FaustSettings,
        worker: Worker,
        *,
        beat: Callable[[], None] | None = None,
        watch: TopicWatch | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self._settings = settings
        self._steady = SteadyWorker(
            worker,
            session_ticks=settings.session_timeout_s,
            drain_lag=settings.drain_lag,
            beat=beat,
            watch=watch,
        )
        self._deliver = deliver
        self._lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")
        self._watchdog = Watchdog(max(LEAST_PATIENCE_S, 2 * settings.session_timeout_s), _exit_now)
        self._over = asyncio.Event()
        self._fault: BaseException | None = None
        self._draining = asyncio.Event()
        self._reported: tuple[int, ...] = ()
        self._quiet_ticks = 0

    async def serve(self) -> int:
        """Run until told to stop; see `run`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        app = self._wired_app()
        self._watchdog.start()
        tasks = [
            asyncio.create_task(self._guarded(work))
            for work in (app.start, self._drain, lambda: self._tick(app))
        ]
        log.info("worker_started", topic=self._settings.topic, group=self._settings.group)
        await self._over.wait()
        await self._stop(app, tasks)
        log.info("worker_stopped", fault=self._fault is not None)
        return 0 if self._fault is None else 1

    def _wired_app(self) -> faust.App:
        app = build_app(self._settings)
        topic = app.topic(
            self._settings.topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )

        async def decide(deliveries: StreamT[Any]) -> None:
            # The interface `StreamT` lacks the method that every stream has.
            batches = cast("faust.Stream[Any]", deliveries).noack_take(
                BATCH_RECORDS, within=BATCH_WITHIN_S
            )
            async for events in batches:
                await self._take(events)
                for event in events:
                    await deliveries.ack(event)

        async def assigned(_: object, *given: object, **__: object) -> None:
            partitions = self._ours(given)
            log.info("assigned", partitions=partitions)
            await self._in_lane(self._steady.assign, partitions)

        async def revoked(_: object, *given: object, **__: object) -> None:
            partitions = self._ours(given)
            log.info("revoked", partitions=partitions)
            await self._in_lane(self._steady.revoke, partitions)

        app.agent(topic)(decide)
        # Signals without a sender would reach every application of the process. (The stubs of mode
        # know no asynchronous handler, though it awaits them.)
        app.on_partitions_assigned.connect(cast("Any", assigned), sender=app)
        app.on_partitions_revoked.connect(cast("Any", revoked), sender=app)
        return app

    def _ours(self, given: tuple[Any, ...]) -> list[int]:
        return sorted(at.partition for at in given[0] if at.topic == self._settings.topic)

    async def _in_lane(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run a call of the worker when its turn comes; a fault ends the process."""
        try:
            turn = partial(call, *arguments, **named)
            return await asyncio.get_running_loop().run_in_executor(self._lane, turn)
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        if self._fault is None:
            self._fault = error
            log.critical("worker_failed", error=type(error).__name__, trouble=str(error))
        self._over.set()

    async def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (whatever it is, the process must end)
            self._fail(error)

    async def _take(self, events: Sequence[Any]) -> None:
        """Hand Faust's deliveries to the worker."""
        records: Sequence[RawRecord] = [
            RawRecord(event.message.partition, event.message.offset, event.message.value)
            for event in events
        ]
        if self._deliver is not None:
            records = self._deliver(records)
        await self._in_lane(self._steady.process, records)
        if self._draining.is_set():
            # What Faust delivers now is old news, and costs the drain its processor time.
            await asyncio.sleep(LOOK_FOR_BACKLOG_S)

    async def _drain(self) -> None:
        """Read backlogs directly, slice by slice, so that a rebalance gets its turn between."""
        while True:
            if await self._in_lane(self._steady.drain_slice):
                self._draining.set()
            else:
                self._draining.clear()
                await asyncio.sleep(LOOK_FOR_BACKLOG_S)

    async def _tick(self, app: faust.App) -> None:
        """Count seconds; the time of day says nothing to a process that was stopped."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            late_s = time.monotonic() - last - 1.0
            last = time.monotonic()
            overslept = late_s > OVERSLEPT_S
            if overslept:
                log.warning("overslept", late_s=round(late_s, 1))
            condition = await self._in_lane(self._steady.tick, overslept=overslept)
            self._watchdog.hear(condition)
            self._report(condition)
            if app.crashed:
                raise app.crash_reason or RuntimeError("Faust stopped working")

    def _report(self, condition: Condition) -> None:
        counts = self._steady.worker.counts
        now = (counts.commits, counts.fenced, condition.lag, *condition.owned)
        self._quiet_ticks += 1
        if now == self._reported and self._quiet_ticks < REPORT_EVERY_TICKS:
            return
        self._reported, self._quiet_ticks = now, 0
        log.info(
            "progress",
            partitions=condition.owned,
            lag=condition.lag,
            commits=counts.commits,
            records=counts.records,
            decisions=counts.decisions,
            dead_letters=counts.dead_letters,
            repeats=counts.repeats,
            skipped=counts.skipped,
            filled=counts.filled,
            fenced=counts.fenced,
        )

    async def _stop(self, app: faust.App, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Leave the group, finish what the lane is doing, and forget all claims."""
        for task in tasks[1:]:
            task.cancel()
        with suppress(TimeoutError, Exception):
            await asyncio.wait_for(app.stop(), STOP_WITHIN_S)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CANCEL_WITHIN_S)
        self._watchdog.stop()
        self._lane.submit(self._steady.revoke, self._steady.assigned)
        await asyncio.to_thread(self._lane.shutdown)


def _exit_now(_: str) -> None:
    # Not sys.exit: the thread that hangs would have to come to an end first.
    os._exit(3)
