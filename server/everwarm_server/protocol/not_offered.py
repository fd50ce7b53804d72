"""What the protocols have and this server does not: for each a sentence that says what to use instead."""

from typing import Final

MEMORY: Final = "Shared memory is not offered: send tensors as raw bytes, which are read without a copy."
TRACE: Final = "Trace settings are not offered here: OpenTelemetry's variables (OTEL_*) give them at the start."
LOGS: Final = "Log settings are not offered: the log goes to stderr, a JSON object a line."
EXPLAIN: Final = "Models here have no explainers: ask for a prediction, by :predict or /infer."

BY_METHOD: Final = {
    **{
        f"{kind}SharedMemory{verb}": MEMORY
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    },
    "TraceSetting": TRACE,
    "LogSettings": LOGS,
}
"""Of gRPC's service."""

BY_PATH: Final = {
    "/v2/systemsharedmemory/{rest:path}": MEMORY,
    "/v2/cudasharedmemory/{rest:path}": MEMORY,
    "/v2/trace/setting": TRACE,
    "/v2/models/{name}/trace/setting": TRACE,
    "/v2/logging": LOGS,
    "/v1/models/{name}:explain": EXPLAIN,
    "/v1/models/{name}/versions/{version}:explain": EXPLAIN,
}
"""Of HTTP, as FastAPI writes paths."""
