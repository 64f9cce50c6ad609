"""Projector files as other repositories publish them, with random weights."""

import torch

from reactions.core.hashing import file_digest
from reactions.encoders.imagebind.towers import ImageBind

SPACES = {
    "ImageBind": (1024, ("audio", "image", "text")),
    "InternVL": (768, ("image", "text")),
    "CLAP_m": (512, ("audio", "text")),
    "CLAP_g": (512, ("audio", "text")),
}
WIDTHS = {
    "IB_PP_G_Proj": ("CLAP_g", "ImageBind"),
    "IB_PP_M_Proj": ("CLAP_m", "ImageBind"),
    "InternVL_IB_Proj": ("ImageBind", "InternVL"),
    "InternVL_IB_PP_G_Proj": ("CLAP_g", "InternVL"),
    "InternVL_IB_PP_M_Proj": ("CLAP_m", "InternVL"),
    "InternVL_IB_FTPP_G_Proj": ("CLAP_g", "InternVL"),
    "InternVL_IB_FTPP_M_Proj": ("CLAP_m", "InternVL"),
}
SUBSETS = ("mix", "A", "T", "V", "AT", "AV", "TV")


def lab_file(folder, dims, imagebind=None, **licences):
    """Write a lab whose four spaces have these widths; nothing could load them.

    Given a file of weights, ImageBind is opened from there.
    """
    lines = ['[lab]\nname = "published"\n']
    for name, (_, modalities) in SPACES.items():
        adapter, source, digest = "fake", f"/weights/{name}.pt", name
        if name == "ImageBind" and imagebind:
            adapter, source, digest = "imagebind", imagebind, file_digest(imagebind)
        lines.append(
            f'[spaces.{name}]\nadapter = "{adapter}"\nsource = "{source}"\n'
            f"dim = {dims[name]}\nmodalities = {list(modalities)}\n"
            f'licence = "{licences.get(name, "MIT")}"\ndigest = "{digest}"\n'
        )
    path = folder / "published.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def freebind_state(d_in, d_out, *, seed, hidden=4):
    """A projector's state by the published keys; its statistics are not those of a fresh one."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    state = {}
    for layer, norm, n_in, n_out in ((0, 1, d_in, hidden), (3, 4, hidden, d_out)):
        state[f"Head2.mlps.{layer}.weight"] = random(n_out, n_in)
        state[f"Head2.mlps.{layer}.bias"] = random(n_out)
        for name in ("weight", "bias", "running_mean"):
            state[f"Head2.mlps.{norm}.{name}"] = random(n_out)
        state[f"Head2.mlps.{norm}.running_var"] = random(n_out).abs() + 0.1
        state[f"Head2.mlps.{norm}.num_batches_tracked"] = torch.tensor(1234)
    return state


def write_freebind(folder, dims, *parts):
    """Write some of the published folders; seeds differ from file to file."""
    for number, (part, (source, target)) in enumerate(WIDTHS.items()):
        for k, subset in enumerate(SUBSETS):
            if part in parts:
                path = folder / part / subset / "best.pt"
                path.parent.mkdir(parents=True)
                torch.save(freebind_state(dims[source], dims[target], seed=10 * number + k), path)
    return folder


def mcr_state(layout, widths, *, seed):
    """A state by a layout's names, with random values and statistics."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layout.items():
        sizes = [widths[size] for size in shape]
        state[name] = torch.randn(*sizes, generator=generator) if sizes else torch.tensor(99)
        if name.endswith("running_var"):
            state[name] = state[name].abs() + 0.1
    return state


def tuned_state(sizes, d_out, *, seed=0, hidden=4):
    """The published tuned encoder, of other sizes: an audio tower and seven projectors."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in ImageBind(sizes, ("audio",)).state_dict().items():
        noise = 0.3 * torch.randn(value.shape, generator=generator)
        is_gain = name.endswith("weight") and value.ndim == 1
        state[f"ib.{name}"] = noise + 1 if is_gain else noise
    for number in range(len(SUBSETS)):
        head = freebind_state(sizes.dim, d_out, seed=seed + 50 + number, hidden=hidden)
        state |= {f"ib_head.projectors.{number}.{name}": value for name, value in head.items()}
    return state
