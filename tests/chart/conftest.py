"""Fixtures: the programs that chart tests run. CI has both: promtool from Debian, helm from `make test-cluster`."""

import shutil

import pytest

from harness import build


@pytest.fixture(scope="session")
def helm() -> str:
    found = build.found_helm()
    if found is None:
        pytest.skip("there is no helm: install it, or let `make helm` build it with Go")
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    return found
