"""Which models a server may serve, and how: values that the settings give and the loader takes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where one version of one model lies, and how it is served.

    Attributes:
        name: as clients call the model.
        version: a whole number, as text.
        uri: a path, file://, s3://, gs://, az:// or https://.
        format: onnx, torch or python; None: by the files that are there.
        device: auto, cpu or cuda.
        concurrency: requests executed at once.
        cache_dir: where downloads are kept; None: a directory in the temporary one.
    """

    name: str
    uri: str
    version: str = "1"
    format: str | None = None
    device: str = "auto"
    concurrency: int = 1
    cache_dir: Path | None = None
