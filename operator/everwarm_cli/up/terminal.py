"""Frames -> the terminal: a live view where there is one, lines elsewhere. The only part of `up` that prints."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from everwarm_cli.up import plain, view
from everwarm_cli.up.frame import Frame


@contextlib.contextmanager
def showing(output: Console, *, live: bool) -> Iterator[Callable[[Frame], None]]:
    """What to call with each frame; on the way out, whichever it is, the terminal is as it was."""
    if not live:
        yield lambda frame: print_lines(output, plain.lines(frame))
        return
    with Live(console=output, screen=True, auto_refresh=False) as screen:
        yield lambda frame: screen.update(view.render(frame, output.width, output.height), refresh=True)


def print_lines(output: Console, lines: list[str]) -> None:
    """Print lines as they are: no wrapping, no markup, no colours."""
    for line in lines:
        output.print(line, markup=False, highlight=False, soft_wrap=True)
