"""Several models in a real process: loaded, replaced, unloaded, given up for each other, while clients hammer them."""

import asyncio
import json
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CLIENTS = 24
ROUNDS = 9

# Says which file it was made from: also by a module beside it, whose name all versions share.
NUMBERED = """
import numpy as np

import number


class Model:
    weights_bytes = 1000
    metadata = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [{"name": "number", "datatype": "INT64", "shape": [2]}],
    }

    def load(self):
        self.here = int((self.directory / "number.txt").read_text())

    def predict(self, inputs):
        return {"number": np.array([self.here, number.NUMBER])}

    def close(self):
        del self.here
"""


def written(directory: Path, number: int) -> None:
    """A model that answers with a number."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "number.txt").write_text(str(number))
    # Python tells files from what it has compiled by their size and the second in which they were written.
    (directory / "number.py").write_text(f"NUMBER = {number}{' ' * number}\n")
    (directory / "model.py").write_text(NUMBERED)


@dataclass
class Tally:
    """What became of all requests: codes, and whatever is not an answer."""

    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def hammer(port: int, names: list[str], tally: Tally, stop: asyncio.Event, rng: random.Random) -> None:
    """Ask one model after the other on one connection; a model's numbers may only grow."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    highest: dict[str, int] = {}
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    try:
        while not stop.is_set():
            name = rng.choice(names)
            head = f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            if rng.random() < 0.3:  # the body comes later: meanwhile the model may be gone
                writer.write(head)
                await asyncio.sleep(rng.random() * 0.01)
                writer.write(body)
            else:
                writer.write(head + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
            document = json.loads(await reader.readexactly(length))
            code = int(lines[0].split()[1])
            tally.answered[name, code] += 1
            if code != 200:
                tally.wrong.append(f"{name}: {code} {document}")
                continue
            here, beside = document["outputs"][0]["data"]
            if here != beside or here < highest.get(name, 0):
                tally.wrong.append(f"{name} answered {here} and {beside} after {highest}")
            highest[name] = here
    except (OSError, EOFError) as error:
        tally.wrong.append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


def under_fire(server: Any, names: list[str], work: Callable[[], Awaitable[None]]) -> Tally:
    """What clients got while the work was done."""

    async def run() -> Tally:
        tally, stop = Tally(), asyncio.Event()
        clients = [
            asyncio.create_task(hammer(server.port, names, tally, stop, random.Random(seed))) for seed in range(CLIENTS)
        ]
        try:
            await asyncio.sleep(0.2)
            await work()
            await asyncio.sleep(0.2)
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*clients), 20)
        return tally

    return asyncio.run(run())


async def control(server: Any, path: str, body: Any = None) -> Any:
    reply = await asyncio.to_thread(server.ask, "POST", f"/v2/repository/{path}", body)
    assert reply.code == 200, reply.json
    return reply.json


def states(server: Any) -> dict[tuple[str, str], str]:
    return {(each["name"], each["version"]): each["state"] for each in server.ask("POST", "/v2/repository/index").json}


@pytest.mark.timeout(180)
def test_new_versions_take_over_without_a_lost_request(start_server: Any, tmp_path: Path) -> None:
    written(tmp_path / "steady", 0)
    written(tmp_path / "moving" / "1", 1)
    server = start_server("", models=tmp_path, concurrency=2)

    async def work() -> None:
        for number in range(2, ROUNDS + 2):
            if number % 3:
                written(tmp_path / "moving" / str(number), number)
            else:  # the same version again, from other files
                shutil.rmtree(max((tmp_path / "moving").iterdir(), key=lambda folder: int(folder.name)))
                written(tmp_path / "moving" / str(number - 1), number)
            await control(server, "models/moving/load")
            reply = await asyncio.to_thread(server.ask, "POST", "/v2/models/moving/infer", INFER)
            assert reply.json["outputs"][0]["data"] == [number, number]

    tally = under_fire(server, ["steady", "moving"], work)
    assert tally.wrong == []
    assert min(tally.answered.values()) > 100
    assert states(server) == {("moving", str(ROUNDS + 1)): "READY", ("steady", "1"): "READY"}
    print(f"{sum(tally.answered.values())} requests, {ROUNDS} versions, 0 lost")


INFER = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}


@pytest.mark.timeout(180)
def test_loads_and_unloads_of_a_model_do_not_touch_another(start_server: Any, tmp_path: Path) -> None:
    for name in ("steady", "other"):
        written(tmp_path / name, 1)
    server = start_server("", models=tmp_path)

    async def work() -> None:
        for _ in range(ROUNDS):
            await control(server, "models/other/unload")
            assert states(server)["other", "1"] == "UNAVAILABLE"
            await control(server, "models/other/load")

    tally = under_fire(server, ["steady"], work)
    assert (tally.wrong, set(tally.answered)) == ([], {("steady", 200)})


@pytest.mark.timeout(180)
def test_models_beyond_the_memory_come_when_they_are_asked_for_and_none_in_use_leaves(
    start_server: Any, tmp_path: Path
) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        written(tmp_path / name, 7)
    server = start_server("", models=tmp_path, model_memory_bytes=2500)
    assert Counter(states(server).values()) == {"READY": 2, "UNAVAILABLE": 2}

    async def work() -> None:
        await asyncio.sleep(2.5)

    tally = under_fire(server, names, work)
    assert tally.wrong == []
    assert {name for name, _ in tally.answered} == set(names)
    assert Counter(states(server).values())["READY"] <= 2
    assert server.log.read_text().count("Gave up its memory") > 4


def test_a_cold_model_is_loaded_once_for_all_who_wait(start_server: Any, tmp_path: Path) -> None:
    written(tmp_path / "cold", 2)
    with (tmp_path / "cold" / "model.py").open("a") as file:
        file.write("\nimport time\n\ntime.sleep(0.5)\n")
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "weights").write_bytes(bytes(2000))
    written(tmp_path / "large", 1)
    (tmp_path / "models.toml").write_text('[[models]]\nname = "large"\npinned = true\n')
    server = start_server("", models=tmp_path, model_memory_bytes=3000)
    assert states(server) == {("large", "1"): "READY", ("cold", "1"): "UNAVAILABLE"}
    assert server.ask("GET", "/v2/models/cold/ready").code == 200

    async def work() -> None:
        await asyncio.sleep(1)

    tally = under_fire(server, ["cold"], work)
    assert (tally.wrong, set(tally.answered)) == ([], {("cold", 200)})
    assert server.log.read_text().count('"message": "Loaded", "model": "cold"') == 1
    assert server.metric("everwarm_cold_start_requests_total", model_name="cold") >= CLIENTS


def test_a_pinned_model_leaves_for_nobody(start_server: Any, tmp_path: Path) -> None:
    for name in ("pinned", "other"):
        written(tmp_path / name, 1)
    # By their files only one of them fits at the start, so the other one is not there before it is asked for.
    (tmp_path / "pinned" / "weights").write_bytes(bytes(600))
    (tmp_path / "models.toml").write_text('[[models]]\nname = "pinned"\npinned = true\n')
    server = start_server("", models=tmp_path, model_memory_bytes=1100, model_wait_seconds=0.5)
    assert states(server) == {("pinned", "1"): "READY", ("other", "1"): "UNAVAILABLE"}
    reply = server.ask("POST", "/v2/models/other/infer", INFER)
    assert (reply.code, "all in use or pinned" in reply.json["error"]) == (503, True)
    assert states(server)["pinned", "1"] == "READY"


def test_a_load_that_fails_hurts_nobody(start_server: Any, tmp_path: Path) -> None:
    written(tmp_path / "m" / "1", 1)
    server = start_server("", models=tmp_path)
    written(tmp_path / "m" / "2", 2)
    (tmp_path / "m" / "2" / "model.py").write_text("raise ValueError('no such luck')")
    reply = server.ask("POST", "/v2/repository/models/m/load")
    assert (reply.code, "ValueError: no such luck" in reply.json["error"]) == (500, True)
    assert server.ask("POST", "/v2/models/m/infer", INFER).json["outputs"][0]["data"] == [1, 1]
    assert server.ask("GET", "/v2/health/ready").code == 200
    index = {each["version"]: each for each in server.ask("POST", "/v2/repository/index").json}
    assert (index["1"]["state"], index["2"]["state"]) == ("READY", "UNAVAILABLE")
    assert "no such luck" in index["2"]["reason"]


def test_a_model_that_fails_at_the_start_leaves_the_others_served_and_the_server_unready(
    start_server: Any, tmp_path: Path
) -> None:
    written(tmp_path / "good", 1)
    written(tmp_path / "bad", 1)
    (tmp_path / "bad" / "model.py").write_text("raise ValueError('no such luck')")
    server = start_server("", models=tmp_path, wait_ready=False)
    server.until(lambda: "Not ready, and serves the other models" in server.log.read_text(), 30)
    assert "no such luck" in server.ask("GET", "/v2/health/ready").json["error"]
    assert server.ask("POST", "/v2/models/good/infer", INFER).code == 200
    written(tmp_path / "bad", 1)
    assert server.ask("POST", "/v2/repository/models/bad/load").code == 200
    assert server.ask("GET", "/v2/health/ready").code == 200


def test_a_list_that_is_wrong_ends_the_process_with_a_sentence(start_server: Any, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("[[models]]\nnam = 'x'\n")
    server = start_server("", models=tmp_path, wait_ready=False)
    assert server.wait() == 2
    assert "Entry 1 of [[models]]" in server.log.read_text()


def test_management_can_be_switched_off(start_server: Any, tmp_path: Path) -> None:
    written(tmp_path / "m", 1)
    server = start_server("", models=tmp_path, management="false")
    reply = server.ask("POST", "/v2/repository/models/m/unload")
    assert (reply.code, "EVERWARM_MANAGEMENT" in reply.json["error"]) == (403, True)
    assert states(server) == {("m", "1"): "READY"}
