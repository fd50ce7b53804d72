"""An event loop in a thread of its own, for models whose methods are coroutines; started by the first of them."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable
from typing import Any, Final

_END: Final = object()


async def _outcome(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Its result, or what it raised: SystemExit would otherwise end the loop, and the caller would wait for ever."""
    try:
        return await coroutine, None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in the thread that waits
        return None, error


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)


async def _close(items: Any) -> None:
    await items.aclose()


class LoopThread:
    """Runs coroutines for threads that wait. One loop for all: a client made in load() is used again in predict()."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def resolve(self, value: Any) -> Any:
        """The value itself, or if it is a coroutine its result; blocks until then.

        Raises:
            Exception: whatever the coroutine raised.
        """
        if not inspect.iscoroutine(value):
            return value
        result, error = asyncio.run_coroutine_threadsafe(_outcome(value), self._running_loop()).result()
        if error is not None:
            raise error
        return result

    def iterate(self, items: Iterable[Any] | AsyncIterator[Any]) -> Generator[Any, None, None]:
        """The items of an iterator or of an asynchronous one, which runs on the loop; blocks between them.

        Raises:
            Exception: whatever the iterator raised.
        """
        if not isinstance(items, AsyncIterator):
            yield from items  # which closes a generator, too
            return
        try:
            while (item := self.resolve(_next(items))) is not _END:
                yield item
        finally:
            if inspect.isasyncgen(items):
                self.resolve(_close(items))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="everwarm-model-loop", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Stop the loop and wait for its thread; does nothing where none was started."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
            self._loop = self._thread = None
