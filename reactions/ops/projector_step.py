"""One step of training a projector: gradients written by hand, in memory that is allocated once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from reactions.ops.losses import InfoNCEGradient
from reactions.ops.projector import Head
from reactions.ops.recipe import TrainingJob


def trainer(head: Head, job: TrainingJob) -> ProjectorTrainer:
    """Return the paper's trainer; see ``recipe.Recipe``."""
    return ProjectorTrainer(
        head,
        job.sources,
        job.targets,
        job.batch_size,
        temperature=job.settings.temperature,
        learning_rate=job.settings.learning_rate,
        dtype=job.dtype,
    )


class ProjectorTrainer:
    """A projector, its Adam, and the memory of one step.

    Against autograd over modules, this saves what makes a step slow on CPUs: copies between
    types, fresh memory for every intermediate, and gradients that are not needed. Master weights,
    their gradients, statistics and Adam are float32; products and what lies between them
    are of ``dtype``. Compiling the same step buys nothing more (see benchmarks/README.md).

    The biases of the linear layers stay zero and are left out: batch norm subtracts any
    constant, so their gradient is zero. McrTrainer finds rounding errors instead, which Adam
    blows up into a random walk.

    Args:
        projector: of the paper's layers, on the device; its parameters become views of one
            buffer.
        sources: modalities that are projected.
        targets: modalities of the frozen side.
        n: rows a modality in a batch.
        temperature: of InfoNCE.
        learning_rate: Adam's.
        dtype: of products: float32 or bfloat16.
        tile_bytes: as for ``InfoNCEGradient``.
    """

    def __init__(
        self,
        projector: Head,
        sources: int,
        targets: int,
        n: int,
        *,
        temperature: float,
        learning_rate: float,
        dtype: torch.dtype,
        tile_bytes: int | None = None,
    ) -> None:
        self._dtype = dtype
        layers = list(projector.layers)
        first, second = cast(nn.Linear, layers[0]), cast(nn.Linear, layers[3])
        self._norms = cast(nn.BatchNorm1d, layers[1]), cast(nn.BatchNorm1d, layers[4])
        trained = dict(projector.layers.named_parameters())
        # One buffer: Adam and the cast to 16 bits are one operation each.
        weights = torch.cat([parameter.detach().flatten() for parameter in trained.values()])
        weights.grad = torch.zeros_like(weights)
        shapes = {name: parameter.shape for name, parameter in trained.items()}
        # The head sees every update, for its parameters share the buffer's memory.
        for name, view in _views(weights, shapes).items():
            trained[name].data = view
        self.gradients: Mapping[str, Tensor] = _views(weights.grad, shapes)
        self._weights = weights
        self._cast = weights if dtype == torch.float32 else weights.to(dtype)
        self._matrices = _views(self._cast, shapes)
        self._adam = torch.optim.Adam([weights], lr=learning_rate, fused=True)
        device, rows = weights.device, sources * n
        hidden, out = first.out_features, second.out_features
        self._hidden, self._active, self._back = (
            torch.empty((rows, hidden), dtype=dtype, device=device) for _ in range(3)
        )
        self._out, self._normed = (
            torch.empty((rows, out), dtype=dtype, device=device) for _ in range(2)
        )
        self._contrast = InfoNCEGradient(
            sources,
            targets,
            n,
            out,
            temperature=temperature,
            dtype=dtype,
            device=device,
            tile_bytes=tile_bytes,
        )

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Update the projector on one batch and return the loss before the update.

        Args:
            x: (sources, n, in_dim) of ``dtype``, unit-norm rows.
            y: (targets, n, out_dim) of ``dtype``, unit-norm rows.

        Returns:
            () float32, nats, on the device.
        """
        loss = self.backward(x, y)
        self._adam.step()
        return loss

    @torch.no_grad()
    def backward(self, x: Tensor, y: Tensor) -> Tensor:
        """Write the gradients of the loss, update running statistics, and return the loss."""
        if self._cast is not self._weights:
            self._cast.copy_(self._weights)
        into_hidden, into_out = self._matrices["0.weight"], self._matrices["3.weight"]
        # All modalities' rows go through together: see Head.forward.
        x = x.flatten(0, 1)
        torch.mm(x, into_hidden.T, out=self._hidden)
        inner = self._normalise(0, self._hidden, self._active)
        self._active.relu_()
        torch.mm(self._active, into_out.T, out=self._out)
        outer = self._normalise(1, self._out, self._normed)
        loss, gradient = self._contrast.gradient(self._normed, y)
        gradient = self._denormalise(1, gradient, self._out, outer)
        self._product("3.weight", gradient.T, self._active)
        torch.mm(gradient, into_out, out=self._back)
        # ReLU's output is positive exactly where its input was, so its input need not be kept.
        torch.ops.aten.threshold_backward(self._back, self._active, 0, grad_input=self._back)
        gradient = self._denormalise(0, self._back, self._hidden, inner)
        self._product("0.weight", gradient.T, x)
        return loss

    def _normalise(self, which: int, rows: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Batch-normalise into ``out``; return the batch's float32 mean and inverse deviation.

        It is the kernel behind nn.BatchNorm1d, so running statistics are updated as there.
        """
        norm = self._norms[which]
        mean, inverse = rows.new_empty((2, rows.shape[1]), dtype=torch.float32).unbind()
        torch.ops.aten.native_batch_norm(
            rows,
            norm.weight,
            norm.bias,
            norm.running_mean,
            norm.running_var,
            True,
            norm.momentum,
            norm.eps,
            out=out,
            save_mean=mean,
            save_invstd=inverse,
        )
        return mean, inverse

    def _denormalise(
        self, which: int, gradient: Tensor, rows: Tensor, statistics: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return the gradient of what was normalised; write those of scale and shift."""
        norm, name = self._norms[which], ("1", "4")[which]
        back, scale, shift = torch.ops.aten.native_batch_norm_backward(
            gradient,
            rows,
            norm.weight,
            norm.running_mean,
            norm.running_var,
            *statistics,
            True,
            norm.eps,
            [True, True, True],
        )
        self.gradients[f"{name}.weight"].copy_(scale)
        self.gradients[f"{name}.bias"].copy_(shift)
        return cast(Tensor, back)

    def _product(self, name: str, left: Tensor, right: Tensor) -> None:
        """Write a weight's gradient."""
        if self._dtype == torch.float32:
            torch.mm(left, right, out=self.gradients[name])
        else:
            # torch.mm writes only into a tensor of its operands' type, and gradients are float32.
            self.gradients[name].copy_(left @ right)


def _views(flat: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Cut a flat buffer into consecutive tensors."""
    parts = torch.split(flat, [shape.numel() for shape in shapes.values()])
    return {
        name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
