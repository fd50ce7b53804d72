"""Several instances of one model, on one device or more, as one Runtime: a request goes to the least busy of them."""

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters
from everwarm_server.runtime.base import Runtime


class Instances:
    """See the module. Of instances that are equally busy, the one that has waited longest is taken."""

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        self._runtimes = list(runtimes)  # the one that was taken last comes last
        self._running = dict.fromkeys(map(id, runtimes), 0)
        self._lock = threading.Lock()
        self._first = runtimes[0]

    @property
    def each(self) -> tuple[Runtime, ...]:
        """All of them."""
        return tuple(self._runtimes)

    @property
    def metadata(self) -> ModelMetadata:
        """The same for all."""
        return self._first.metadata

    @property
    def device(self) -> str:
        """All devices, by commas."""
        return ",".join(sorted({runtime.device for runtime in self._runtimes}))

    @property
    def only_computes(self) -> bool:
        """The same for all."""
        return self._first.only_computes

    @property
    def takes_parameters(self) -> bool:
        """The same for all."""
        return self._first.takes_parameters

    @property
    def streams(self) -> bool:
        """The same for all."""
        return self._first.streams

    @property
    def weights_bytes(self) -> int:
        """Of all together."""
        return sum(runtime.weights_bytes for runtime in self._runtimes)

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        with self._one() as runtime:
            return runtime.infer(inputs, parameters)

    def stream(self, inputs: Mapping[str, Array], parameters: Parameters) -> Generator[Mapping[str, Array], None, None]:
        """The answers of one instance; see Runtime.stream."""
        with self._one() as runtime:
            yield from runtime.stream(inputs, parameters)

    @contextmanager
    def _one(self) -> Iterator[Runtime]:
        with self._lock:
            runtime = min(self._runtimes, key=lambda each: self._running[id(each)])  # the first of equals
            self._runtimes.remove(runtime)
            self._runtimes.append(runtime)
            self._running[id(runtime)] += 1
        try:
            yield runtime
        finally:
            with self._lock:
                self._running[id(runtime)] -= 1

    def close(self) -> None:
        """Free all of them, also where one fails to."""
        errors = []
        for runtime in self._runtimes:
            try:
                runtime.close()
            except Exception as error:  # noqa: BLE001 - the others hold memory too
                errors.append(error)
        if errors:
            raise errors[0]
