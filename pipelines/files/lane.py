"""One thread that carries many transfers: it performs their steps side by side by libcurl's multi interface."""

from __future__ import annotations

import heapq
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

import pycurl

from pipelines.files.curl import Exchange, Handles, broken
from pipelines.files.steps import Call, Pause, Request, Step, Steps

T = TypeVar("T")
TICK = 0.01  # seconds until it looks again for what no connection announces
REST = 0.1  # seconds until it looks again whether it may carry any


@dataclass
class Lane(Generic[T]):
    """Up to `width()` transfers at once; `begin` gives the next one or None for now, `ended` is told what each came to.

    `before` is called before requests are sent, several at once, and before it waits. An error in it, or one that a
    transfer does not catch, ends the lane, and with it all its transfers.
    """

    width: Callable[[], int]
    begin: Callable[[], Steps[T] | None]
    ended: Callable[[T], None]
    before: Callable[[], None]
    stopped: threading.Event
    pool: Executor
    hear: Callable[[], bool] = lambda: False
    """Called after every transfer that went on, and before it waits: whether something has come from elsewhere."""
    wakes: Callable[[], int | None] = lambda: None
    """The descriptor that `hear` reads, if there is one: it does not wait while there is something to read."""
    _flows: set[Steps[T]] = field(default_factory=set)
    _handles: Handles = field(default_factory=Handles)
    _asked: dict[Any, tuple[Steps[T], Exchange]] = field(default_factory=dict)
    _pauses: list[tuple[float, int, Steps[T], str]] = field(default_factory=list)
    _called: deque[tuple[Steps[T], Future[Any]]] = field(default_factory=deque)
    _number: count[int] = field(default_factory=count)

    def run(self) -> None:
        """Carry transfers until it is stopped."""
        self._multi = pycurl.CurlMulti()
        try:
            while not self.stopped.is_set():
                self._fill()
                self.before()
                self._multi.perform()
                heard = self._settle()
                self.before()
                if not (self.hear() or heard):
                    self._wait()
        finally:
            self._leave()

    def later(self) -> list[tuple[float, str]]:
        """When transfers go on that wait for a time, by `time.monotonic()`, and why; may be asked from any thread."""
        return [(when, why) for when, _, _, why in self._pauses]

    def _fill(self) -> None:
        while len(self._flows) < self.width() and (flow := self.begin()):
            self._flows.add(flow)
            self._go_on(flow, None)

    def _settle(self) -> bool:
        """Go on with every transfer that has what it waited for; whether something was heard in between."""
        left, heard = 1, False
        while left:
            left, fine, failed = self._multi.info_read()
            for handle in fine:
                flow, exchange = self._freed(handle)
                self._go_on(flow, exchange.answer(handle))
                heard = self.hear() or heard
            for handle, code, text in failed:
                flow, _ = self._freed(handle)
                self._go_on(flow, None, broken(code, text))
        while self._pauses and self._pauses[0][0] <= time.monotonic():
            self._go_on(heapq.heappop(self._pauses)[2], None)
        for _ in range(len(self._called)):
            flow, future = self._called.popleft()
            if not future.done():
                self._called.append((flow, future))
            elif error := future.exception():
                self._go_on(flow, None, error)
            else:
                self._go_on(flow, future.result())
        return heard

    def _go_on(self, flow: Steps[T], given: Any, error: BaseException | None = None) -> None:
        try:
            step = flow.throw(error) if error else flow.send(given)
        except StopIteration as end:
            self._flows.discard(flow)
            self.ended(end.value)
        else:
            self._take_up(flow, step)

    def _take_up(self, flow: Steps[T], step: Step) -> None:
        match step:
            case Request():
                handle, exchange = self._handles.take(step)
                self._asked[handle] = flow, exchange
                self._multi.add_handle(handle)
            case Pause():
                heapq.heappush(self._pauses, (time.monotonic() + step.seconds, next(self._number), flow, step.why))
            case Call():
                self.before()
                self._called.append((flow, self.pool.submit(step.function)))
            case Future():
                self._called.append((flow, step))

    def _freed(self, handle: Any) -> tuple[Steps[T], Exchange]:
        self._multi.remove_handle(handle)
        flow, exchange = self._asked.pop(handle)
        self._handles.give_back(handle, exchange)
        return flow, exchange

    def _wait(self) -> None:
        wakes = self.wakes()
        if wakes is not None:
            self._wait_for(wakes)
        elif self._asked:
            self._multi.select(TICK)
        else:
            self.stopped.wait(TICK if self._flows or self.width() else REST)

    def _wait_for(self, wakes: int) -> None:
        reads, writes, _ = self._multi.fdset()
        watched = select.poll()
        for descriptor in {wakes, *reads, *writes}:
            is_read, is_written = descriptor == wakes or descriptor in reads, descriptor in writes
            watched.register(descriptor, select.POLLIN * is_read | select.POLLOUT * is_written)
        watched.poll(1000 * TICK if self._multi.timeout() else 0)

    def _leave(self) -> None:
        """Break off what is under way; each transfer cleans up after itself, once nobody reads its body."""
        for handle in self._asked:
            self._multi.remove_handle(handle)
        wait([future for _, future in self._called if not future.cancel()])
        for flow in self._flows:
            flow.close()
        self._multi.close()
