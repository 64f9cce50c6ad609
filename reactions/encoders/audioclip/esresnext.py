"""AudioCLIP's audio tower: a ResNeXt-50 over a spectrogram whose transform was learnt as well.

Frequency B-spline wavelets, one for each of 1025 rows, take the place of a Fourier transform;
three bands of rows stand for the colours of a picture; attention sits between the stages.

Source: Guzhov et al., ESResNe(X)t-fbsp (IJCNN 2021); names and shapes as in the repository of
AudioCLIP.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_WINDOW, _HOP, _FRAME = 1654, 561, 2048
_ROWS, _BANDS = 1025, 3


class ESResNeXt(nn.Module):
    """Learnt spectrogram, ResNeXt-50 with attention, linear head.

    Args:
        blocks: of each stage; (3, 4, 6, 3) in what was published.
        dim: width of the output.
    """

    def __init__(self, blocks: Sequence[int] = (3, 4, 6, 3), dim: int = 1024) -> None:
        super().__init__()
        self.fbsp = nn.ParameterDict({name: torch.ones(_ROWS) for name in ("m", "fb", "fc")})
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        kernels = ((3, 1), (1, 5), (3, 1), (1, 5))
        widths = (64, 256, 512, 1024, 2048)
        for i, (before, after) in enumerate(itertools.pairwise(widths), 1):
            stride = 1 if i == 1 else 2
            rest = (_Bottleneck(after, after, 1) for _ in range(blocks[i - 1] - 1))
            stage = nn.Sequential(_Bottleneck(before, after, stride), *rest)
            self.add_module(f"layer{i}", stage)
            self.add_module(f"att{i}", _Attention(before, after, kernels[i - 1]))
        self.att5 = _Attention(2048, 2048, (3, 5))
        self.fc = nn.Linear(2048, dim)
        self.register_buffer("window", _blackman_harris(_WINDOW), persistent=False)
        self.register_buffer("kernels", torch.zeros(0), persistent=False)

    def freeze(self) -> ESResNeXt:
        """Compute the transform from its parameters once and for all; return the tower."""
        with torch.no_grad():
            self.register_buffer("kernels", self._wavelets(), persistent=False)
        return self.eval()

    def unfreeze(self) -> ESResNeXt:
        """Compute the transform anew each time, so that its parameters can be trained."""
        self.register_buffer("kernels", torch.zeros(0), persistent=False)
        return self

    def forward(self, samples: Tensor) -> Tensor:
        """Embed (n, samples) at 44.1 kHz in [-1, 1] to (n, dim), not normalised."""
        # One by one: where a padded clip is still, the dB are those of rounding errors, which
        # must not depend on what else is in the batch.
        pictures = torch.cat([self.spectrogram(row[None]) for row in samples])
        x = torch.relu(self.bn1(self.conv1(pictures)))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for i in range(1, 5):
            past = x
            x = self.get_submodule(f"layer{i}")(past)
            x = x * self.get_submodule(f"att{i}")(past, x.shape[-2:])
        x = x.mean(dim=(2, 3), keepdim=True) * self.att5(x, torch.Size((1, 1)))
        out: Tensor = self.fc(x.flatten(1))
        return out

    def spectrogram(self, samples: Tensor) -> Tensor:
        """Return (n, 3, 341, frames) power in dB, low rows first and highest in the last band."""
        frames = self._frames(samples)  # (n, frames, 2048)
        kernels = self.get_buffer("kernels")
        real, imaginary = kernels if kernels.numel() else self._wavelets()
        power = (frames @ real.T).square() + (frames @ imaginary.T).square()
        height = _ROWS // _BANDS  # the two rows at the top are left over
        # (n, frames, 1025) -> (n, 3, 341, frames)
        bands = power.transpose(1, 2)[:, : _BANDS * height]
        bands = bands.reshape(len(samples), _BANDS, height, -1)
        # Exactly zero only for digital silence.
        return torch.where(bands > 0, bands, 1e-18).log10() * 10.0

    def _frames(self, samples: Tensor) -> Tensor:
        n = samples.shape[-1]
        count = 1 + max(0, math.ceil((n - _WINDOW) / _HOP))
        lacking = (count - 1) * _HOP + _WINDOW - n
        padded = nn.functional.pad(samples, (lacking // 2, lacking - lacking // 2))
        frames = padded.unfold(-1, _WINDOW, _HOP) * self.get_buffer("window")
        margin = _FRAME - _WINDOW
        return nn.functional.pad(frames, (margin // 2, margin - margin // 2))

    def _wavelets(self) -> Tensor:
        """Return real and imaginary parts of the transform, (2, 1025, 2048).

        Row k is sqrt(fb) sinc(fb t / m)^m exp(-i fc t) over t in [-pi, pi]: a frequency
        B-spline of order m, bandwidth fb and centre fc.
        """
        # In single precision, with the published epsilons: so it was trained.
        t = math.pi * torch.linspace(-1.0, 1.0, _FRAME, device=self.fc.weight.device) + 1e-8
        m, bandwidth, centre_ = (self.fbsp[name][:, None] for name in ("m", "fb", "fc"))
        phase = bandwidth * t / (m + 1e-8)
        sinc = torch.where(phase == 0, 1.0, phase.sin() / phase)
        # A negative number to the power m, which is not whole, turns by m half circles.
        turned = m * torch.where(sinc < 0, math.pi, 0.0) - centre_ * t
        size = bandwidth.sqrt() * sinc.abs().pow(m) / _FRAME**0.5
        return torch.stack([size * turned.cos(), size * turned.sin()])


class _Bottleneck(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        width = after // 2
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=32, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + past)


class _Attention(nn.Module):
    """What a stage's output is multiplied by: its input, pooled, convolved and squashed."""

    def __init__(self, before: int, after: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_depth = nn.Conv2d(before, before, kernel, padding=padding, groups=before)
        self.conv_point = nn.Conv2d(before, after, 1)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        pooled = nn.functional.adaptive_max_pool2d(x, list(size))
        out: Tensor = self.bn(self.conv_point(self.conv_depth(pooled))).sigmoid()
        return out


def _blackman_harris(n: int) -> Tensor:
    """Return the periodic window of n samples, float32."""
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    weights = (0.35875, -0.48829, 0.14128, -0.01168)
    return torch.stack([w * (k * angle).cos() for k, w in enumerate(weights)]).sum(0).float()
