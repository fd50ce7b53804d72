import subprocess
import sys

import everwarm_server
from everwarm_server import errors


def test_a_model_author_finds_the_errors_that_mean_something_to_the_client():
    assert everwarm_server.__all__ == ["InvalidInput", "Overloaded"]
    assert everwarm_server.InvalidInput is errors.InvalidInput
    assert everwarm_server.Overloaded is errors.Overloaded


def test_importing_the_package_or_fetching_a_local_model_imports_nothing_heavy():
    script = (
        "import sys, everwarm_server, everwarm_server.artifacts.fetch; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'numpy', 'orjson', 'torch', 'onnxruntime', 'obstore', 'asyncio', 'tarfile', 'urllib.request'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"
