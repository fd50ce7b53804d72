"""Writes what Envoy watches: each file is renamed into place, and only where it says something new.

In: the resources of envoy.py. Out: FOLDER/endpoints/*.json before clusters.json before routes-*.json, so that nothing
names what is not there yet.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.controllers import envoy
from harness.controllers.envoy import Json

LISTENERS = ("public", "local")


def write(folder: Path, ingresses: list[Json], endpoints: dict[tuple[str, str], Json]) -> None:
    """Brings the files in `folder` up to date with the cluster's objects."""
    (folder / "endpoints").mkdir(parents=True, exist_ok=True)
    assignments = envoy.assignments(ingresses, endpoints)
    for name, assignment in assignments.items():
        _write(folder / "endpoints" / f"{envoy.file_name(name)}.json", [assignment])
    _write(folder / "clusters.json", envoy.clusters(ingresses, f"{folder}/endpoints/{{}}.json"))
    for listener in LISTENERS:
        _write(folder / f"routes-{listener}.json", [envoy.routes(ingresses, listener)])
    kept = {f"{envoy.file_name(name)}.json" for name in assignments}
    for file in (folder / "endpoints").glob("*.json"):
        if file.name not in kept:
            file.unlink()


def _write(path: Path, resources: list[Json]) -> None:
    body: Any = json.dumps(resources, sort_keys=True)
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    text = json.dumps({"version_info": version, "resources": resources})
    if path.exists() and path.read_text() == text:
        return
    # The staging file lies beside the folder: Envoy watches the folder for what is moved into it.
    staging = path.parent.parent / f".{path.name}.part"
    staging.write_text(text)
    staging.rename(path)
