"""PointBind's checkpoints with random weights, and its encoders once more, slowly, in numpy."""

from pathlib import Path

import imagebind_toy as toy
import numpy as np
import torch

from reactions.encoders.pointbind.networks import I2PMAE, PointBERT
from reactions.encoders.pointbind.tower import PointNetwork

DIM = toy.SIZES.dim


def filled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter and statistic of a module random values."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            noise = torch.randn(value.shape, generator=drawn)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif value.ndim > 1:
                value.copy_(noise / np.sqrt(np.prod(value.shape[1:])))
            else:
                value.copy_(0.2 * noise + name.endswith("weight"))
    return module.eval()


def state(kind: str, *, imagebind: bool = True) -> dict[str, torch.Tensor]:
    """Return what a published checkpoint holds, at the toy's width.

    Args:
        kind: ``"i2pmae"`` or ``"pointbert"``.
        imagebind: whether the ImageBind that it was trained beside is in it.
    """
    encoder = {"i2pmae": I2PMAE, "pointbert": PointBERT}[kind]()
    network = filled(PointNetwork(encoder, DIM))
    weights = {
        key.replace("head.", "bind.modality_head_point.") if key.startswith("head.") else key: v
        for key, v in network.state_dict().items()
    }
    imagebind_state = (
        {f"bind.{key}": value for key, value in toy.state().items()} if imagebind else {}
    )
    scales = {
        "logit_scale": torch.tensor(2.6),
        "bind.modality_postprocessor_point.1.log_logit_scale": torch.tensor(0.0),
    }
    return {**weights, **imagebind_state, **scales}


def write(path: Path, kind: str = "i2pmae", **options: bool) -> Path:
    """Save a checkpoint."""
    torch.save(state(kind, **options), path)
    return path


# --- the encoders, for one cloud at a time, with float64 and loops -------------------------


def farthest(xyz, k):
    """As the CUDA kernel: the first point is 0, points near the origin are never chosen."""
    chosen, nearest = [0], np.full(len(xyz), np.inf)
    for _ in range(k - 1):
        for i, point in enumerate(xyz):
            if (point**2).sum() > 1e-3:
                nearest[i] = min(nearest[i], ((point - xyz[chosen[-1]]) ** 2).sum())
        usable = [i for i, point in enumerate(xyz) if (point**2).sum() > 1e-3]
        chosen.append(max(usable, key=lambda i: nearest[i]))
    return chosen


def neighbours(centre, xyz, k):
    return sorted(range(len(xyz)), key=lambda i: ((xyz[i] - centre) ** 2).sum())[:k]


def linear(weights, name, x):
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def layer_norm(weights, name, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    erf = torch.erf(torch.from_numpy(x / np.sqrt(2))).numpy()
    return 0.5 * x * (1 + erf)


def pointwise(weights, name, x):
    """Conv1d(1), BatchNorm with running statistics, ReLU, Conv1d(1)."""

    def conv(layer, values):
        return (
            values @ weights[f"{name}.{layer}.weight"][:, :, 0].T + weights[f"{name}.{layer}.bias"]
        )

    y = conv(0, x)
    spread = np.sqrt(weights[f"{name}.1.running_var"] + 1e-5)
    y = (y - weights[f"{name}.1.running_mean"]) / spread
    y = y * weights[f"{name}.1.weight"] + weights[f"{name}.1.bias"]
    return conv(3, np.maximum(y, 0))


def mini_pointnet(weights, name, members):
    y = pointwise(weights, f"{name}.first_conv", members)
    both = np.concatenate([np.broadcast_to(y.max(axis=0), y.shape), y], axis=1)
    return pointwise(weights, f"{name}.second_conv", both).max(axis=0)


def position(weights, name, xyz):
    return linear(weights, f"{name}.2", gelu(linear(weights, f"{name}.0", xyz)))


def block(weights, name, x, penalty, heads=6):
    tokens, width = x.shape
    y = linear(weights, f"{name}.attn.qkv", layer_norm(weights, f"{name}.norm1", x))
    q, k, v = (part.reshape(tokens, heads, -1) for part in np.split(y, 3, axis=1))
    mixed = np.zeros_like(q)
    for head in range(heads):
        scores = q[:, head] @ k[:, head].T / np.sqrt(width // heads) + penalty
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed[:, head] = shares / shares.sum(axis=1, keepdims=True) @ v[:, head]
    x = x + linear(weights, f"{name}.attn.proj", mixed.reshape(tokens, width))
    y = gelu(linear(weights, f"{name}.mlp.fc1", layer_norm(weights, f"{name}.norm2", x)))
    return x + linear(weights, f"{name}.mlp.fc2", y)


def i2p_mae(network, cloud):
    """Return what the network should make of one (points, 3) cloud."""
    w = {key: value.double().numpy() for key, value in network.state_dict().items()}
    xyz, tokens = cloud.astype(np.float64), None
    for i, scale in enumerate(network.scales):
        centres = xyz[farthest(xyz, scale.groups)]
        rows = [neighbours(centre, xyz, scale.neighbours) for centre in centres]
        members = [
            xyz[r] - centre if tokens is None else tokens[r]
            for r, centre in zip(rows, centres, strict=True)
        ]
        tokens_made = np.stack([mini_pointnet(w, f"h_encoder.token_embed.{i}", m) for m in members])
        distances = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=-1))
        penalty = np.where(distances >= scale.radius, -100000.0, 0.0)
        positions = position(w, f"h_encoder.encoder_pos_embeds.{i}", centres)
        for j in range(scale.depth):
            name = f"h_encoder.encoder_blocks.{i}.blocks.{j}"
            tokens_made = block(w, name, tokens_made + positions, penalty)
        xyz, tokens = centres, tokens_made
    tokens = layer_norm(w, "norm", tokens)
    return tokens.mean(axis=0) + tokens.max(axis=0)


def point_bert(network, cloud, depth):
    """Return what the network should make of one (points, 3) cloud."""
    w = {key: value.double().numpy() for key, value in network.state_dict().items()}
    xyz = cloud.astype(np.float64)
    centres = xyz[farthest(xyz, network.groups)]
    members = [xyz[neighbours(c, xyz, network.neighbours)] - c for c in centres]
    tokens = np.stack([mini_pointnet(w, "encoder", m) for m in members])
    tokens = np.concatenate([w["cls_token"][0], linear(w, "reduce_dim", tokens)])
    positions = np.concatenate([w["cls_pos"][0], position(w, "pos_embed", centres)])
    for j in range(depth):
        tokens = block(w, f"blocks.blocks.{j}", tokens + positions, 0.0)
    tokens = layer_norm(w, "norm", tokens)
    return np.concatenate([tokens[0], tokens[1:].max(axis=0)])
