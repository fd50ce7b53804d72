import pytest

from everwarm_server import catalogue
from everwarm_server.errors import ModelError
from everwarm_server.runtime import devices


@pytest.mark.parametrize(
    ("wanted", "gpus", "chosen"),
    [
        ("auto", 0, ("auto",)),
        ("auto", 2, ("auto",)),
        ("cpu", 2, ("cpu",)),
        ("cuda", 0, ("cuda",)),
        ("cuda:1", 2, ("cuda:1",)),
        ("cuda:1,cuda:0", 2, ("cuda:1", "cuda:0")),
        ("cuda,cuda:0,cuda:1", 2, ("cuda:0", "cuda:1")),
        ("cuda:*", 3, ("cuda:0", "cuda:1", "cuda:2")),
    ],
)
def test_what_is_wanted_names_devices(wanted, gpus, chosen):
    assert devices.chosen(wanted, gpus) == chosen


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("tpu", "There is no device 'tpu'; it must be auto, cpu, cuda, cuda:1, a list such as cuda:0,cuda:1"),
        ("cuda:0 ", "There is no device 'cuda:0 '"),
        ("cuda:1", "The device cuda:1 was asked for, but there are 1 GPUs here."),
        ("cuda:0,cuda:1", "The device cuda:0,cuda:1 was asked for, but there are 1 GPUs here."),
    ],
)
def test_what_is_not_there_is_refused(wanted, sentence):
    with pytest.raises(ModelError) as caught:
        devices.chosen(wanted, 1)
    assert str(caught.value).startswith(sentence)


def test_all_gpus_need_one():
    with pytest.raises(ModelError, match="there are 0 GPUs here"):
        devices.chosen("cuda:*", 0)


@pytest.mark.parametrize(
    ("visible", "nodes", "gpus"), [(None, 4, 4), ("", 4, 0), ("0,2", 4, 2), ("GPU-1a", 4, 1), ("0,1", 1, 1)]
)
def test_the_environment_may_hide_gpus(visible, nodes, gpus):
    assert devices.gpus(visible, nodes) == gpus


def test_gpus_are_counted_by_their_device_files(monkeypatch, tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "_NODES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus_here() == 2


def test_the_settings_accept_what_the_runtimes_do():
    assert f"^({devices.PATTERN})$" == catalogue.DEVICE_PATTERN
