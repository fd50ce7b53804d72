"""`everwarm reproduce`: what it prints, what it writes, and what each claim is judged."""

import csv
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from everwarm_cli import main
from everwarm_cli.reproduce import assumptions, files
from everwarm_cli.reproduce.assumptions import Effort, Efforts


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", "reproduce", *arguments])
    monkeypatch.setattr(assumptions, "QUICK", Efforts(Effort(2, 3.0), Effort(2, 0.5)))
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


FIGURES = {"figure-2", "figure-3", "adaptive", "expiry"}
TABLES = {"claims", "adaptive-latencies", "other-loads", "table-1"}


def test_everything_is_written_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "reproduction"
    assert run(monkeypatch, "--quick", "--directory", str(folder), "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {claim["what"]: claim["verdict"] for claim in document["claims"]} == {
        "p95, reactive": "holds",
        "p95, adaptive": "holds",
        "fewer cold-start delays": "holds",
        "Algorithm 1 is why": "fails",
        "on longer-lived instances": "fails",
        "on other loads": "fails",
        "Fig. 2: scaling": "holds",
        "Fig. 3: cost": "only if",
        "Table I: EC2, busy and idle": "holds",
        "Table I: Fargate, idle": "holds",
        "Table I: Fargate": "only if",
        "Table I: Lambda": "only if",
        "Table I: Lambda, idle": "fails",
        "Table I: p95, EC2 and Fargate": "only if",
        "Table I: cold starts": "unclear",
    }
    assert document["assumptions"]["expiry_seconds"] == 5.0
    written = {path.name for path in folder.iterdir()}
    assert written == {Path(name).name for name in document["files"]}
    assert written == {"index.html"} | {f"{name}.csv" for name in FIGURES | TABLES} | {
        f"{name}.{ending}" for name in FIGURES for ending in ("png", "svg")
    }
    assert_readable(folder)


def assert_readable(folder: Path) -> None:
    for name in FIGURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        drawing = ET.parse(folder / f"{name}.svg")  # what we wrote ourselves
        text = "".join(drawing.getroot().itertext())
        assert "Figure" in text or "provisioning" in text or "holds" in text
    for path in folder.glob("*.csv"):
        rows = list(csv.reader(path.read_text().splitlines()))
        assert len(rows) > 2
        assert {len(row) for row in rows} == {len(rows[0])}
    page = (folder / "index.html").read_text()
    assert re.findall(r"https?://|<script|<link|<img|src=", page) == []
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert page.count("<svg ") == page.count('role="img" aria-label="') == len(FIGURES)
    assert page.count('<td><span class="bad">fails</span></td>') == 4


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_every_claim_has_a_reason(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(files, "write", lambda *_: ["index.html"])
    assert run(monkeypatch, "--quick", "--directory", str(tmp_path)) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("The headline can be reproduced: p95 ")
    table = lines[2 : lines.index("", 2)]
    assert len(table) >= 16
    assert all(len(line) <= width for line in table)
    assert "\nTable I: Lambda, idle: It contradicts adaptive provisioning" in out
    assert lines[-1].endswith(f"begin with {tmp_path / 'index.html'}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--directory", "{file}/below"], "everwarm: --directory {file}/below can't be written: Not a directory."),
        (["-o", "xml"], "'xml' is not one of"),
    ],
)
def test_wrong_questions_end_with_a_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("COLUMNS", "300")
    assert run(monkeypatch, *(part.format(file=file) for part in arguments)) == 2
    out, err = capsys.readouterr()
    assert sentence.format(file=file) in err
    assert (out, "Traceback" in err) == ("", False)
