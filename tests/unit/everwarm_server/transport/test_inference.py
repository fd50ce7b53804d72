import threading

import pytest

from everwarm_server.transport.inference import LARGE_JSON_BYTES, decoded


@pytest.mark.parametrize(("json_bytes", "on_the_loop"), [(10, True), (LARGE_JSON_BYTES, False)])
async def test_large_json_is_decoded_off_the_loop(json_bytes: int, on_the_loop: bool) -> None:
    thread = await decoded(threading.current_thread, json_bytes)
    assert (thread is threading.current_thread()) is on_the_loop


async def test_what_is_wrong_with_large_json_is_raised() -> None:
    def decode() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await decoded(decode, LARGE_JSON_BYTES)
