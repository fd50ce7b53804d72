"""A model that is loaded because a request asked for it, and the requests that wait for it."""

import asyncio
import math
import time

from everwarm_server.errors import DeadlineExceeded, ModelNotReady, Overloaded


class Arriving:
    """One load and those who wait for it. Belongs to the event loop's thread.

    Args:
        name: the model's.
        limit_seconds: longest wait of a request without a deadline of its own.
        most: requests that may wait.
    """

    def __init__(self, name: str, limit_seconds: float, most: int) -> None:
        self._name = name
        self._limit_seconds = limit_seconds
        self._most = most
        self._waiting = 0
        self._over = asyncio.Event()
        self._reason = ""

    def over(self, reason: str = "") -> None:
        """The load has come to its end; with a reason if the model is not there."""
        self._reason = reason
        self._over.set()

    async def wait(self, deadline_seconds: float = math.inf) -> None:
        """Wait until the model is there.

        Args:
            deadline_seconds: when the request's time is over, by time.perf_counter().

        Raises:
            ModelNotReady: it is not there, or not within the limit.
            DeadlineExceeded: the request's time was over before.
            Overloaded: too many wait already.
        """
        if self._waiting >= self._most:
            raise Overloaded(
                f"{self._waiting} requests wait for the model {self._name!r} to be loaded; try again later."
            )
        left_seconds = deadline_seconds - time.perf_counter()
        self._waiting += 1
        try:
            async with asyncio.timeout(min(left_seconds, self._limit_seconds)):
                await self._over.wait()
        except TimeoutError:
            if left_seconds < self._limit_seconds:
                raise DeadlineExceeded(
                    f"The model {self._name!r} had to be loaded first, which takes longer than this request has."
                ) from None
            raise ModelNotReady(f"The model {self._name!r} is still being loaded; try again later.") from None
        finally:
            self._waiting -= 1
        if self._reason:
            raise ModelNotReady(f"The model {self._name!r} can't be loaded: {self._reason}")
