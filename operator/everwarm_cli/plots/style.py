"""How every figure looks, and how it becomes a file or a part of an HTML page.

Colours are told apart without colour vision (Okabe and Ito) and on white as on black: in a page each is a CSS variable,
the ink is the text's own colour and the ground is clear, so that one drawing serves light and dark.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everwarm_cli.errors import CommandError

if TYPE_CHECKING:  # matplotlib comes with an extra, and costs half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2328"
FAINT = "#8b949e"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9467bd", "#7a6a00", "#56b4e9")
_DARK = ("#58b6f0", "#ff9248", "#3ddba8", "#eca3cd", "#bda0e8", "#d8c650", "#8fd3ff")
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
}


def require(option: str) -> None:
    """Make sure that there is something to draw with.

    Raises:
        CommandError: matplotlib is missing; the text says that `option` needs it.
    """
    try:
        import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise CommandError(f"{option} needs matplotlib: pip install 'everwarm[plots]'.") from error


@contextmanager
def styled() -> Iterator[type["Figure"]]:
    """The class of figures, with our settings in force within."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        yield Figure


def check_ending(path: Path, option: str, endings: tuple[str, ...]) -> None:
    """Refuse a file that can't be written before minutes were spent on what it shows.

    Raises:
        CommandError: the name has none of these endings, or there is no such folder.
    """
    if path.suffix.lower() not in endings:
        known = ", ".join(endings)
        raise CommandError(f"{option} {path} can't be written: its name must end with {known}.", exit_code=2)
    if not path.absolute().parent.is_dir():
        raise CommandError(f"{option} {path} can't be written: there is no folder {path.parent}.", exit_code=2)


def save(figure: "Figure", path: Path) -> None:
    """Write it as PNG, SVG or PDF, by the name's ending; equal figures give equal files.

    Raises:
        CommandError: the file can't be written.
    """
    dateless: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    try:
        with _same_identifiers():
            figure.savefig(path, dpi=144, facecolor="white", metadata=dateless)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} can't be written: {error}", exit_code=2) from error


def inline(figure: "Figure", name: str) -> str:
    """The figure as SVG for an HTML page; `name` tells its identifiers from those of the page's other figures."""
    file = io.StringIO()
    with _same_identifiers():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # of XML; HTML knows what an svg is
    text = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
    text = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    for number, color in enumerate(SERIES, start=1):
        text = text.replace(color, f"var(--series-{number})")
    return text.replace(INK, "currentColor")


def css_variables(*, dark: bool) -> str:
    """Declarations of the series' colours."""
    return "".join(f"--series-{number}:{color};" for number, color in enumerate(_DARK if dark else SERIES, start=1))


def label_at(axes: "Axes", x: float, y: float, text: str, color: str, **options: Any) -> None:
    """A direct label beside a curve, in its colour."""
    axes.annotate(text, (x, y), color=color, **({"textcoords": "offset points", "xytext": (6, 0)} | options))


@contextmanager
def _same_identifiers() -> Iterator[None]:
    """SVG identifiers from the content alone, not from chance."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "everwarm", "svg.fonttype": "none"}):
        yield
