"""A request and its model's metadata in; InvalidInput out, or nothing."""

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import shapes
from everwarm_server.protocol.sentences import listed, shown
from everwarm_server.protocol.tensors import InferRequest, ModelMetadata, Tensor, TensorSpec


def check_inputs(request: InferRequest, metadata: ModelMetadata) -> None:
    """See that the model's inputs came, each once, in its datatype and shape, and that it has the outputs asked for.

    A model that declares no inputs takes any, one that declares no outputs may give any, and one that takes documents
    sees for itself.

    Raises:
        InvalidInput: the first thing that does not fit, with what was wanted and what came.
    """
    if metadata.takes_documents:
        return
    if metadata.inputs and not _fit(request.inputs, metadata.inputs):
        specs = {spec.name: spec for spec in metadata.inputs}
        for tensor in request.inputs:
            _check_input(tensor, specs.get(tensor.name), metadata)
        given = {tensor.name for tensor in request.inputs}
        missing = [name for name in specs if name not in given]
        if missing:
            raise InvalidInput(f"The model {shown(metadata.name)} also needs the input {listed(missing)}.")
    if metadata.outputs:
        names = [spec.name for spec in metadata.outputs]
        for output in request.outputs:
            if output.name not in names:
                raise InvalidInput(
                    f"The model {shown(metadata.name)} has no output {shown(output.name)}; it has {listed(names)}."
                )


def _fit(tensors: tuple[Tensor, ...], specs: tuple[TensorSpec, ...]) -> bool:
    """Whether the inputs are those declared, in the same order, as they nearly always are."""
    if len(tensors) != len(specs):
        return False
    for tensor, spec in zip(tensors, specs, strict=True):
        if tensor.name != spec.name or tensor.datatype != spec.datatype:
            return False
        if not shapes.fits(tensor.data.shape, spec.shape):
            return False
    return True


def _check_input(tensor: Tensor, spec: TensorSpec | None, metadata: ModelMetadata) -> None:
    if spec is None:
        names = listed([spec.name for spec in metadata.inputs])
        raise InvalidInput(f"The model {shown(metadata.name)} has no input {shown(tensor.name)}; it has {names}.")
    if tensor.datatype != spec.datatype:
        raise InvalidInput(f"The input {shown(tensor.name)} must be {spec.datatype}, but it came as {tensor.datatype}.")
    if not shapes.fits(tensor.data.shape, spec.shape):
        raise InvalidInput(
            f"The input {shown(tensor.name)} must have the shape {shapes.text(spec.shape)} (-1: any size), "
            f"but it came as {shapes.text(tensor.data.shape)}."
        )
