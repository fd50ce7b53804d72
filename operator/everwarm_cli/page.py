"""Sections of text, tables and figures -> one HTML file that needs nothing else: no network, no script, no other file.

Readable by screen readers (landmarks, captions, scopes, a text for each figure), in light and dark, and on paper.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from everwarm_cli.errors import CommandError
from everwarm_cli.plots import style

_CSS = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1f2328;--faint:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--good:#116329;
--bad:#a40e26;LIGHT}
@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--ink:#e6edf3;--faint:#9da7b3;--line:#3d444d;--soft:#161b22;
--good:#4ac26b;--bad:#ff8182;DARK}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:66rem;padding:1.5rem;font:1rem/1.55 system-ui,sans-serif;color:var(--ink);
background:var(--ground)}
h1{font-size:1.7rem;line-height:1.2;margin:.2em 0}h2{font-size:1.25rem;margin:2.2em 0 .4em;border-bottom:1px solid
var(--line);padding-bottom:.25em}
p,li{max-width:48rem}.lead{font-size:1.1rem}.note,figcaption,caption,footer{color:var(--faint);font-size:.9rem}
nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;list-style:none}a{color:inherit}
.wide{overflow-x:auto}.wide:focus-visible{outline:2px solid var(--series-1)}
table{border-collapse:collapse;width:100%;margin:.6rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.3rem 0}th,td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}
th.n,td.n{text-align:right}td.n{white-space:nowrap}
td:last-child:not(.n){min-width:9rem}
thead th{vertical-align:bottom;border-bottom:2px solid var(--line)}tbody th{font-weight:600}
tr.chosen{background:var(--soft)}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
figure{margin:1rem 0}figure svg{width:100%;height:auto;max-width:60rem}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.8rem;overflow-x:auto}
@media print{body{max-width:none}section{break-inside:avoid}}
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is not plain text: `kind` is good, bad or nothing."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first column names the row.

    Attributes:
        caption: what the table says, in a line.
        head: names of the columns, with units.
        rows: cells; as many as the head has.
        text: the columns (beside the first) that are words, not numbers.
        chosen: the row to point out.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    text: frozenset[int] = frozenset()
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure: its SVG, what it shows for who sees it, and for who does not."""

    svg: str
    caption: str
    description: str


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    texts: Sequence[str]


Part = str | Table | Picture | Code | Points


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under a heading; strings are paragraphs."""

    heading: str
    parts: Sequence[Part]
    anchor: str = ""


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page's HTML."""
    css = _CSS.replace("LIGHT", style.css_variables(dark=False)).replace("DARK", style.css_variables(dark=True))
    anchors = [section.anchor or f"part-{number}" for number, section in enumerate(sections, start=1)]
    links = zip(anchors, sections, strict=True)
    contents = "".join(f'<li><a href="#{anchor}">{_text(part.heading)}</a></li>' for anchor, part in links)
    body = "".join(_section(anchor, section) for anchor, section in zip(anchors, sections, strict=True))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{css}</style></head>\n"
        f'<body><header><h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav></header>\n<main>{body}</main>\n</body></html>\n'
    )


def write(path: Path, text: str) -> None:
    """Write the page.

    Raises:
        CommandError: the file can't be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}", exit_code=2) from error


def _section(anchor: str, section: Section) -> str:
    parts = "\n".join(_part(part, f"{anchor}-{number}") for number, part in enumerate(section.parts))
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{_text(section.heading)}</h2>\n{parts}</section>\n'


def _part(part: Part, anchor: str) -> str:
    match part:
        case Table():
            return _table(part)
        case Picture():
            return (
                f'<figure role="group" aria-labelledby="{anchor}">'
                f'<div role="img" aria-label="{_text(part.description)}">{part.svg}</div>'
                f'<figcaption id="{anchor}">{_text(part.caption)}</figcaption></figure>'
            )
        case Code():
            return f'<pre tabindex="0"><code>{_text(part.text)}</code></pre>'
        case Points():
            return "<ul>" + "".join(f"<li>{_text(text)}</li>" for text in part.texts) + "</ul>"
        case _:
            return f"<p>{_text(part)}</p>"


def _table(table: Table) -> str:
    def kind(column: int) -> str:
        return "" if column == 0 or column in table.text else ' class="n"'

    head = "".join(f'<th scope="col"{kind(column)}>{_text(name)}</th>' for column, name in enumerate(table.head))
    rows = "".join(_row(row, kind_of=kind, chosen=number == table.chosen) for number, row in enumerate(table.rows))
    caption = _text(table.caption)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(row: Sequence[str | Cell], kind_of: Callable[[int], str], *, chosen: bool) -> str:
    name = row[0].text if isinstance(row[0], Cell) else row[0]
    cells = "".join(_cell(cell, kind_of(column)) for column, cell in enumerate(row[1:], start=1))
    mark = ' class="chosen"' if chosen else ""
    return f'<tr{mark}><th scope="row">{_text(name)}</th>{cells}</tr>'


def _cell(cell: str | Cell, kind: str) -> str:
    if isinstance(cell, str) or not cell.kind:
        return f"<td{kind}>{_text(cell if isinstance(cell, str) else cell.text)}</td>"
    return f'<td{kind}><span class="{cell.kind}">{_text(cell.text)}</span></td>'


def _text(text: str) -> str:
    return html.escape(text)
