"""The traces that come with everwarm: a name -> its file, its series and what it is. Sources: data/SOURCES.md."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from everwarm_cli.errors import CommandError
from everwarm_cli.traces import shapes
from everwarm_cli.traces.series import Trace

_DATA = Path(__file__).parent / "data"
_SERVEGEN = "AI in production at Alibaba"
# Of m-large, its clients rebuilt at a quarter of their rates; the others' clients vary about as much or more.
_SERVEGEN_DISPERSION = 4.4


@dataclass(frozen=True, slots=True)
class Shipped:
    """One trace.

    Attributes:
        name: what `--trace` takes.
        file: in the package's data.
        column: the series of a file that has several.
        what: a line for a person.
        licence: SPDX identifier.
        dispersion: variance over mean of the counts per second, where it is known and the file does not hold it.
    """

    name: str
    file: str
    column: str | None
    what: str
    licence: str
    dispersion: float = 1.0

    def read(self) -> Trace:
        """Load it."""
        return shapes.read(_DATA / self.file, self.column)


TRACES = (
    *(
        Shipped(
            f"servegen-{model}", "servegen.csv.gz", model, f"{_SERVEGEN}: {kind}", "Apache-2.0", _SERVEGEN_DISPERSION
        )
        for model, kind in (
            ("m-large", "large LLM"),
            ("m-mid", "middle LLM"),
            ("m-small", "small LLM"),
            ("deepseek-r1", "reasoning"),
            ("mm-image", "images"),
        )
    ),
    Shipped("azure-llm-code", "azure_llm_2023_code.csv.gz", None, "code completion at Azure, bursts", "CC-BY-4.0"),
    Shipped("azure-llm-conv", "azure_llm_2023_conv.csv.gz", None, "conversations at Azure", "CC-BY-4.0"),
    Shipped("nab-elb", "nab_elb.csv.gz", None, "an AWS load balancer, no season", "MIT"),
    Shipped("nab-twitter-goog", "nab_twitter_goog.csv.gz", None, "Twitter mentions: flash crowds", "MIT"),
    Shipped("appserver", "appserver.csv.gz", None, "web servers, days and weeks", "MIT"),
)


def find(name: str) -> Shipped:
    """The trace of this name.

    Raises:
        CommandError: there is none; the text says which are near.
    """
    for trace in TRACES:
        if trace.name == name:
            return trace
    names = [trace.name for trace in TRACES]
    near = difflib.get_close_matches(name, names, 3, 0.4) or names
    raise CommandError(
        f"There is no file and no shipped trace {name!r}; near it are {', '.join(near)}. everwarm traces lists all.",
        exit_code=2,
    )


def read(name: str, column: str | None = None) -> Trace:
    """A file of the user's, or else the shipped trace of this name.

    Raises:
        CommandError: there is neither, or the file is no trace.
    """
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return shapes.read(path, column)
    return find(name).read()
