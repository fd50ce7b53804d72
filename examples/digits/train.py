"""Trains the digits CNN of this folder; writes model.onnx and samples.npz beside itself in about 20 s on one core.

Data: "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak; UCI, CC BY 4.0), as bundled with scikit-learn:
1,797 images of 8x8 pixels, values 0 to 16. Every fifth image is held out; samples.npz has those that the model reads
right, so that a client can tell a wrong answer from a hard image.

    .venv/bin/python examples/digits/train.py
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
OPSET = 17
EPOCHS = 60


def network() -> torch.nn.Sequential:
    """Two convolutions, a pooling and two dense layers: 38,000 weights."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(512, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )


def train(images: np.ndarray, labels: np.ndarray) -> torch.nn.Sequential:
    """Fit by Adam on shuffled batches of 64 with shifts of up to one pixel."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x = torch.from_numpy(images.reshape(-1, 1, 8, 8) / 16).float()
    y = torch.from_numpy(labels)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(64):
            shift = tuple(int(s) for s in torch.randint(-1, 2, (2,)))
            loss = torch.nn.functional.cross_entropy(model(torch.roll(x[batch], shift, (2, 3))), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def to_onnx(model: torch.nn.Sequential) -> onnx.ModelProto:
    """The same network as an ONNX graph, from pixel values 0..16 to a label and probabilities."""
    weights = {name.replace(".", "_"): value.numpy() for name, value in model.state_dict().items()}
    constants = {
        "scale": np.float32(1 / 16),
        "to_image": np.array([-1, 1, 8, 8], np.int64),
        "to_rows": np.array([-1, 512], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Mul", ["image", "scale"], ["scaled"]),
        node("Reshape", ["scaled", "to_image"], ["pixels"]),
        node("Conv", ["pixels", "0_weight", "0_bias"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "2_weight", "2_bias"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["r2"]),
        node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["p", "to_rows"], ["rows"]),
        node("Gemm", ["rows", "6_weight", "6_bias"], ["d1"], transB=1),
        node("Relu", ["d1"], ["r3"]),
        node("Gemm", ["r3", "8_weight", "8_bias"], ["logits"], transB=1),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
        node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 64])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in {**weights, **constants}.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="everwarm")
    proto.ir_version = 9
    onnx.checker.check_model(proto, full_check=True)
    return proto


def main() -> None:
    """Train, write both files and say how good the model is on what it has not seen."""
    digits = load_digits()
    held_out = np.arange(len(digits.target)) % 5 == 0
    model = train(digits.data[~held_out], digits.target[~held_out])
    images, labels = digits.data[held_out].astype(np.float32), digits.target[held_out].astype(np.int64)
    with torch.inference_mode():
        predicted = model(torch.from_numpy(images.reshape(-1, 1, 8, 8) / 16)).argmax(1).numpy()
    onnx.save(to_onnx(model), HERE / "model.onnx")
    right = predicted == labels
    np.savez_compressed(
        HERE / "samples.npz", images=images[right].astype(np.uint8), labels=labels[right].astype(np.uint8)
    )
    print(f"{right.sum()} of {len(right)} held-out images right ({right.mean():.1%})")


if __name__ == "__main__":
    main()
