"""Heads as files that torch, or an ONNX runtime, loads by itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from reactions.core.errors import MissingError, StepError
from reactions.core.extras import install_extra
from reactions.core.types import Leaf, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn

    Loaded: TypeAlias = Callable[[Sequence[Tensor]], Tensor]

ExportForm: TypeAlias = Literal["torch", "onnx"]
FORMS: tuple[ExportForm, ...] = get_args(ExportForm)
ENDINGS: dict[ExportForm, str] = {"torch": ".pt2", "onnx": ".onnx"}

OPSET = 18
EXTRA = "export"


class Traceable(Protocol):
    """What can become a file: a module, and tensors to follow it with."""

    @property
    def modality(self) -> Modality: ...  # noqa: D102

    @property
    def inputs(self) -> tuple[Leaf, ...]: ...  # noqa: D102

    @property
    def module(self) -> nn.Module: ...  # noqa: D102

    def example(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Return the tensors of n items."""


def check_packages(form: ExportForm) -> None:
    """Check that what writes and runs a form is installed (MissingError)."""
    if form == "torch":
        return
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"{error.name} is not installed",
            why="--to onnx writes with onnx and onnxscript, and checks with onnxruntime",
            fix=install_extra(EXTRA),
        ) from None


def write_graph(form: ExportForm, heads: Traceable, path: Path) -> Loaded:
    """Write heads to a file, and load it again.

    Args:
        form: of the file.
        heads: of one modality, alone or with their encoders.
        path: the new file.

    Returns:
        What the file computes: a tensor for each input, axis 0 counting items, to (n, dim) rows.

    Raises:
        StepError: torch cannot trace or write them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations, while it traces
        try:
            return (_write_program if form == "torch" else _write_onnx)(heads, path)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever torch's tracer raises for what it cannot follow
            lines = str(error).strip().splitlines()
            raise StepError(
                f"{heads.modality} cannot be written for {form}",
                why=f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": "),
                fix="another --to; fused.project computes them here",
            ) from error


def _dynamic(heads: Traceable) -> Any:
    import torch

    rows = torch.export.Dim("n")
    return (tuple({0: rows} for _ in heads.inputs),)


def _write_program(heads: Traceable, path: Path) -> Loaded:
    import torch

    program = torch.export.export(
        heads.module, heads.example(2), dynamic_shapes=_dynamic(heads), strict=False
    )
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()

    def compute(rows: Sequence[Tensor]) -> Tensor:
        embedded: Tensor = loaded(*rows)
        return embedded

    return compute


def _write_onnx(heads: Traceable, path: Path) -> Loaded:
    import onnx
    import onnxruntime
    import torch

    names = [leaf.label for leaf in heads.inputs]
    # What they optimised and what not, and that torchvision, which no head needs, is missing.
    for name in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.onnx.export(
        heads.module,
        heads.example(2),
        path,
        dynamo=True,
        dynamic_shapes=_dynamic(heads),
        input_names=names,
        output_names=["embedding"],
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def compute(rows: Sequence[Tensor]) -> Tensor:
        inputs = {name: tensor.numpy() for name, tensor in zip(names, rows, strict=True)}
        return torch.from_numpy(session.run(None, inputs)[0])

    return compute
