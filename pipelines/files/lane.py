"""One thread that carries many transfers: it performs their steps side by side by libcurl's multi interface."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

import pycurl

from pipelines.files.curl import Exchange, broken
from pipelines.files.steps import Call, Pause, Request, Step, Steps

T = TypeVar("T")
TICK = 0.01  # seconds until it looks again for what no connection announces


@dataclass(eq=False)
class Flow(Generic[T]):
    """A transfer under way."""

    steps: Steps[T]
    exchange: Exchange | None = None


@dataclass
class Lane(Generic[T]):
    """Up to `width` transfers at once; `begin` gives the next one, or None for now, `ended` is told what each came to.

    An error that a transfer does not catch ends the lane, and with it all its transfers.
    """

    width: int
    begin: Callable[[], Steps[T] | None]
    ended: Callable[[T], None]
    stopped: threading.Event
    pool: Executor
    _flows: set[Flow[T]] = field(default_factory=set)
    _handles: dict[Any, Flow[T]] = field(default_factory=dict)
    _idle: list[Any] = field(default_factory=list)
    _pauses: list[tuple[float, int, Flow[T], str]] = field(default_factory=list)
    _called: deque[tuple[Flow[T], Future[Any]]] = field(default_factory=deque)
    _number: count[int] = field(default_factory=count)

    def run(self) -> None:
        """Carry transfers until it is stopped."""
        self._multi = pycurl.CurlMulti()
        try:
            while not self.stopped.is_set():
                self._fill()
                self._multi.perform()
                self._settle()
                self._wait()
        finally:
            self._leave()

    def later(self) -> list[tuple[float, str]]:
        """When transfers go on that wait for a time, by `time.monotonic()`, and why; may be asked from any thread."""
        return [(when, why) for when, _, _, why in self._pauses]

    def _fill(self) -> None:
        while len(self._flows) < self.width and (steps := self.begin()):
            flow = Flow(steps)
            self._flows.add(flow)
            self._go_on(flow, None)

    def _settle(self) -> None:
        """Go on with every transfer that has what it waited for."""
        left = 1
        while left:
            left, fine, failed = self._multi.info_read()
            for handle in fine:
                flow, exchange = self._freed(handle)
                answer = exchange.answer(handle)
                self._go_on(flow, answer)
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

    def _go_on(self, flow: Flow[T], given: Any, error: BaseException | None = None) -> None:
        try:
            step = flow.steps.throw(error) if error else flow.steps.send(given)
        except StopIteration as end:
            self._flows.discard(flow)
            self.ended(end.value)
        else:
            self._take_up(flow, step)

    def _take_up(self, flow: Flow[T], step: Step) -> None:
        match step:
            case Request():
                handle = self._idle.pop() if self._idle else pycurl.Curl()
                flow.exchange = Exchange(step)
                flow.exchange.onto(handle)
                self._handles[handle] = flow
                self._multi.add_handle(handle)
            case Pause():
                heapq.heappush(self._pauses, (time.monotonic() + step.seconds, next(self._number), flow, step.why))
            case Call():
                self._called.append((flow, self.pool.submit(step.function)))

    def _freed(self, handle: Any) -> tuple[Flow[T], Exchange]:
        self._multi.remove_handle(handle)
        self._idle.append(handle)
        flow = self._handles.pop(handle)
        assert flow.exchange is not None
        return flow, flow.exchange

    def _wait(self) -> None:
        if self._handles:
            self._multi.select(TICK)
        else:
            self.stopped.wait(TICK)

    def _leave(self) -> None:
        """Break off what is under way; each transfer cleans up after itself."""
        for handle in self._handles:
            self._multi.remove_handle(handle)
        for flow in self._flows:
            flow.steps.close()
        self._multi.close()
