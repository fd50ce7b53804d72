import socket

import pytest

from everwarm_server.transport.listener import bind, drop_new


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_bound_socket_takes_connections_before_the_server_runs(host: str) -> None:
    with bind(host, 0) as listening, socket.create_connection(listening.getsockname()[:2], timeout=5):
        accepted, _ = listening.accept()
        accepted.close()


def test_what_came_before_the_drop_is_kept_and_what_comes_after_is_not_reset() -> None:
    with bind("127.0.0.1", 0) as listening:
        address = listening.getsockname()
        with socket.create_connection(address, timeout=5) as early:
            drop_new(listening)
            early.sendall(b"hello")
            # Not accepted and then reset, but unanswered, so that nothing can be sent and lost.
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.2)
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"
