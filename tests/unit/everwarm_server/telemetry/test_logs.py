import json
import logging

from everwarm_server.telemetry.logs import JsonLines


def test_a_record_is_one_line_with_its_extras() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "Loaded %s", "args": ("x\ny",), "created": 0.0, "seconds": 1.5}
    )
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "logger": "n",
        "message": "Loaded x\ny",
        "seconds": 1.5,
    }


def test_an_exception_is_kept_with_its_trace() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "Failed", "exc_info": (type(error), error, error.__traceback__)})
    assert "ValueError: why" in json.loads(JsonLines().format(record))["exception"]
