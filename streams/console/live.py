"""What is known now: one look at the stream every second or two, a pass over the customers when it has moved on.

The event loop never reads Redis or Kafka: looks have a thread, passes a process of their own. Whoever listens is told
which of the two is new, by name; what is new they fetch themselves.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from streams import refusals
from streams.console.jobs import Jobs
from streams.console.pipeline import Pipeline, Watch, problem_of
from streams.console.story import Story, continued
from streams.console.survey import Survey, survey
from streams.settings import Settings

CUSTOMERS_NEW: Final = "programme"
STREAM_NEW: Final = "pipeline"
LETTERS_NEW: Final = "letters"
WHATIF_NEW: Final = "whatif"

LOOK_S: Final = 1.0
"""From look to look while a page is open; IDLE_S while none is."""
IDLE_S: Final = 5.0
REST_S: Final = 3.0
RESTS: Final = 3
"""After a pass it rests for so many times what it took, at least REST_S: it takes at most a quarter of a core."""
LISTENERS_MAX: Final = 200
WORKERS: Final = 4

log = logging.getLogger("loyalty.console")
Answer = TypeVar("Answer")


class TooMany(Exception):
    """As many pages are open as this process serves."""


class Live:
    """Set `survey`, `story` and `pipeline` and nothing else is needed to show a page: the tests do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.survey: Survey | None = None
        self.story = Story()
        self.pipeline: Pipeline | None = None
        self.problems: dict[str, str] = {}
        self.closed: dict[str, tuple[str, float]] = {}
        """Reminders closed by a contact that the last pass does not know of yet: kind, and when last seen waiting."""
        self.jobs = Jobs(self._far, lambda: self.tell(WHATIF_NEW), lambda error: problem_of(error, refusals.told))
        self._listeners: set[asyncio.Queue[str]] = set()
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="console")
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="console-look")
        self._pool: ProcessPoolExecutor | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._commits = -1
        self._moved = asyncio.Event()

    async def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.create_task(self._look_on()), asyncio.create_task(self._pass_on())]

    async def stop(self) -> None:
        """Stop looking; who listens is let go."""
        self.jobs.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in self._listeners:
            _put(queue, "")
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._looks.shutdown(wait=False, cancel_futures=True)
        self._end_pool()

    async def ask(self, what: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run what reads or writes in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, what, *arguments)

    def listen(self) -> asyncio.Queue[str]:
        """A queue of what is new; "": it is over. Raises TooMany."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise TooMany
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=8)
        self._listeners.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[str]) -> None:
        """Listen no more."""
        self._listeners.discard(queue)

    def closes(self, reminder: str, kind: str) -> None:
        """A contact of this kind was written for a reminder."""
        self.closed[reminder] = kind, time.monotonic()
        self.tell(CUSTOMERS_NEW)

    def tell(self, what: str) -> None:
        """Tell all who listen; one who does not read has something to fetch already."""
        for queue in self._listeners:
            _put(queue, what)

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        watch = await loop.run_in_executor(self._looks, Watch, self.settings)
        shown: Any = None
        dead = -1
        while True:
            try:
                self.pipeline = await loop.run_in_executor(self._looks, watch.look)
                self._healed(STREAM_NEW)
                for reminder, kind in self.pipeline.pending.items():
                    self.closed[reminder] = kind, time.monotonic()
            except Exception as error:
                self._failed(STREAM_NEW, error)
            pipeline = self.pipeline
            if pipeline is not None and pipeline.commits != self._commits:
                self._commits = pipeline.commits
                self._moved.set()
            if pipeline is not None and pipeline.dead != dead:
                dead = pipeline.dead
                self.tell(LETTERS_NEW)
            now = _signature(pipeline)
            if now != shown:
                shown = now
                self.tell(STREAM_NEW)
            await asyncio.sleep(LOOK_S if self._listeners else IDLE_S)

    async def _pass_on(self) -> None:
        while True:
            began = time.monotonic()
            self._moved.clear()
            try:
                self.survey = await self._far(survey, self.settings)
                self._healed(CUSTOMERS_NEW)
                self.closed = {name: held for name, held in self.closed.items() if held[1] > began - IDLE_S}
                self.tell(CUSTOMERS_NEW)
                self.story = await self._far(continued, self.settings, self.survey.policy.calendar, self.story)
            except Exception as error:
                self._failed(CUSTOMERS_NEW, error)
                self._moved.set()  # try again
            self.tell(CUSTOMERS_NEW)
            await asyncio.sleep(max(REST_S, RESTS * (time.monotonic() - began)))
            await self._until_moved()

    async def _until_moved(self) -> None:
        """Until a commit, or what was clicked has to be looked at again: a worker may have refused it."""
        while not self._moved.is_set():
            held = [at for _, at in self.closed.values()]
            if held and time.monotonic() - max(held) > 2 * IDLE_S:
                return
            await asyncio.sleep(0.2)

    async def _far(self, what: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run it in the process of the passes; one that was killed is made anew."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_serve, initargs=(os.getpid(),)
            )
        pool: Executor = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, what, *arguments)
        except BrokenProcessPool:
            self._end_pool()
            raise

    def _end_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)

    def _failed(self, what: str, error: Exception) -> None:
        told = problem_of(error, refusals.told)
        if self.problems.get(what) != told:
            expected = refusals.told(error) is not None or isinstance(error, (OSError, RuntimeError))
            log.warning("%s: %s", what, told, exc_info=None if expected else error)
            self.problems[what] = told
            self.tell(what)

    def _healed(self, what: str) -> None:
        if self.problems.pop(what, None) is not None:
            self.tell(what)


def _put(queue: asyncio.Queue[str], what: str) -> None:
    if not queue.full():
        queue.put_nowait(what)


def _signature(pipeline: Pipeline | None) -> Any:
    """What of a look is worth telling: all but the running seconds."""
    if pipeline is None:
        return None
    parts = tuple((part.clock, part.lag, part.outbox, part.commits, part.epoch, part.stuck) for part in pipeline.parts)
    return parts, pipeline.worker, round(pipeline.rate), pipeline.dead, tuple(sorted(pipeline.pending.items()))


def _serve(parent: int) -> None:
    """The process of the passes: gives way to everything else, leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)

    def end_with(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
