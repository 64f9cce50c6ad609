"""InternVL-C, whose network is code that lies in its repository, not in a package.

    hf:OpenGVLab/InternVL-14B-224px@COMMIT

That code runs only when a person names it together with what cannot move:
``--trust-remote-code ORG/REPO@COMMIT`` or ``MOLSPACE_TRUST_REMOTE_CODE=ORG/REPO@COMMIT``, which pin
the repository too. The code of a folder is named by its digest, ``FOLDER@sha256:DIGEST``, which the
refusal prints. What a lab file or a bundle pins does not count: somebody else may have written it.

The text tower reads ``summarize:`` and the caption with no space between, at most 80 tokens with
both ends, padded with 0, by which it finds the end. It computes in bfloat16 unless the URI says
otherwise (``?precision=fp32``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import (
    Tower,
    TowerEncoder,
    element_type,
    locked,
    pad_tokens,
    transformer_flops,
)
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.transformers.image_processor import transform_of
from reactions.encoders.transformers.repository import (
    EXTRA,
    OPTIONS,
    Repository,
    find,
    quiet,
    refuse_unfit,
    tokeniser,
    tokeniser_tag,
    weights_digest,
    weights_files,
)
from reactions.encoders.uri import join_options, split_options
from reactions.weights.hub import (
    TRUST_VARIABLE,
    code_digest,
    commit_of,
    is_commit,
    licence_of,
    split_repo,
    trusted,
    trusted_commit,
    trusts_folder,
)
from reactions.weights.hub_layout import code_file, code_references
from reactions.weights.locate import WeightLocator
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import refuse_code, verify_digest

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER = "internvl"
MODE = "InternVL-C"
PREFIX = "summarize:"
MAX_TOKENS = 80
PAD_ID = 0
PRECISION = "bf16"


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space that a URI names; nothing of the repository runs.

    Args:
        uri: see the module.
        name: what the space is called; "" calls it after the repository.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: the repository, or a part of it, is not on this machine.
        DataError: it is damaged, or another kind of model.
        UsageError: the URI names no repository, or no commit.
    """
    found, options = _find(uri, name, locator or WeightLocator.of_environment())
    digests = digest_cache or remembered_digests()
    transform = transform_of(found, "clip", _side(found))
    text = f"summarize-{tokeniser_tag(found, digests)}-truncate{MAX_TOKENS}-1"
    precision = options.get("precision", PRECISION)
    spec = SpaceSpec(
        name=found.name,
        dim=found.number("", "clip_embed_dim", 768),
        modalities=("image", "text"),
        adapter=ADAPTER,
        source=join_options(found.uri, options, precision=PRECISION),
        revision=commit_of(found.folder),
        licence=licence_of(found.folder),
        weights_digest=_digest(found, weights_files(found, found.uri), digests),
        preprocessing=(
            ("image", f"{transform.tag}-{precision}"),
            ("text", f"{text}-{precision}"),
        ),
        flops_per_item=_flops(found),
    )
    digests.save()
    return spec


def check(spec: SpaceSpec) -> None:
    """Find out, without running anything, whether ``load`` may run and has what it needs.

    Raises:
        MissingError: transformers or a part of the repository is missing.
        UsageError: running its code was not allowed.
    """
    found, _ = _find(spec.source, spec.name, WeightLocator.of_environment())
    _allow(found)
    need_package("transformers", spec.source, EXTRA)
    weights_files(found, spec.source)


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Run the repository's code and load its weights, if that was allowed.

    Args:
        spec: its ``source`` is a URI of this module's.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        UsageError: running its code was not allowed.
        MissingError: a package or a part of the repository is missing.
        DataError: the files are not those that ``spec`` names, or do not work.
    """
    found, options = _find(spec.source, spec.name, WeightLocator.of_environment())
    _allow(found)
    files = weights_files(found, spec.source)
    digests = remembered_digests()
    verify_digest(spec, _digest(found, files, digests), found.folder)
    digests.save()
    for path in files:
        refuse_code(path)
    dtype = element_type(options.get("precision", PRECISION))
    model = _model(found, dtype).to(device=device, dtype=dtype).eval()
    transform = transform_of(found, "clip", _side(found))
    words = tokeniser(found)

    def project_images(inputs: Sequence[Any]) -> Tensor:
        import torch

        pixels = torch.from_numpy(np.stack(inputs)).to(device)
        out: Tensor = model.encode_image(transform.normalise(pixels).to(dtype), mode=MODE)
        return out

    def tokenise(text: str) -> list[int]:
        # Ends are set here: whether a tokeniser adds them depends on its version.
        ids = words(PREFIX + text, add_special_tokens=False)["input_ids"]
        return [words.bos_token_id, *ids[: MAX_TOKENS - 2], words.eos_token_id]

    def project_texts(inputs: Sequence[Any]) -> Tensor:
        import torch

        ids = torch.from_numpy(pad_tokens(inputs, PAD_ID)).to(device)
        out: Tensor = model.encode_text(ids)
        return out

    sides: Mapping[Modality, Tower] = {
        "image": Tower(transform.fit, project_images, batch_items=32),
        "text": Tower(locked(tokenise), project_texts, batch_items=32),
    }
    return TowerEncoder(spec, sides)


# --- what may run --------------------------------------------------------------------


def _find(uri: str, name: str, locator: WeightLocator) -> tuple[Repository, dict[str, str]]:
    found, options = find(uri, name, locator)
    if "clip_embed_dim" not in found.config or not code_references(found.config):
        raise DataError(
            f'cannot run the model "{uri}"',
            why="of the InternVL models only InternVL-C (and its stand-ins) embeds: this one's "
            "configuration has no clip_embed_dim, or no code",
            fix='take "hf:OpenGVLab/InternVL-14B-224px@COMMIT"',
            uri=uri,
        )
    if not found.is_own and not is_commit(_revision(uri)):
        raise _unpinned(found, uri, name)
    for reference in code_references(found.config):
        _check_code(found, reference)
    return found, options


def _revision(uri: str) -> str:
    """Return the revision that a URI names, or at which a person trusts its repository."""
    repo, revision = split_repo(split_options(uri, OPTIONS)[0])
    return revision or trusted_commit(repo)


def _unpinned(found: Repository, uri: str, name: str) -> UsageError:
    place = found.uri.partition(":")[2]
    pinned = f'"hf:{place}"'
    if name:  # a lab gave it
        pinned = f'in a molspace.toml with extends = "paper": [spaces.{name}] uri = {pinned}'
    return UsageError(
        f'"{uri}" brings code, so its revision has to be pinned',
        why="a branch can move, and other code would run",
        fix=f"read {found.folder}, then: {TRUST_VARIABLE}={place}   "
        f"or --trust-remote-code {place}; to pin it for others, too, {pinned}",
        uri=uri,
        revision=commit_of(found.folder),
    )


def _check_code(found: Repository, reference: str) -> None:
    """Raise unless the code of a class is in a repository."""
    file = code_file(reference)
    what = f"the code of space '{found.name}' is not all in its repository"
    if not re.fullmatch(r"\w+\.py", file):  # elsewhere: another repository, another folder
        raise UsageError(
            what,
            why=f"its config.json refers to '{reference}', whose revision nothing pins",
            fix="copy that code into a folder of your own beside the weights, name it in "
            'config.json without "ORG/REPO--", and write hf:./FOLDER',
            space=found.name,
        )
    if not (found.folder / file).is_file():
        raise MissingError(
            what,
            why=f"its config.json refers to '{reference}', but there is no {file}",
            fix=found.bring(file),
            looked_in=[str(found.folder)],
            space=found.name,
        )


def _allow(found: Repository) -> None:
    """Check that a person allowed a repository's code.

    Raises:
        UsageError: they did not.
    """
    place = found.uri.partition(":")[2]
    pin = place
    if found.is_own:
        try:
            digest_ = code_digest(found.folder)
        except OSError as error:
            raise found.damaged(f"its code cannot be read: {error.strerror}") from None
        if trusts_folder(found.folder, digest_):
            return
        pin = f"{found.folder}@sha256:{digest_}"
    elif place in trusted():
        return
    files = _code(found)
    revision = commit_of(found.folder)
    flag = f'"{pin}"' if re.search(r"[^\w@:./-]", pin) else pin
    blanket = [word for word in trusted() if "@" not in word]
    raise UsageError(
        f"space '{found.name}' runs code that comes with its weights",
        why=f"{place.partition('@')[0]} at "
        f"{'revision ' + revision if revision else 'no revision'}: "
        f"{', '.join(path.name for path in files)} in {found.folder}"
        + (f"; {TRUST_VARIABLE}={blanket[0]} names no commit and no digest" if blanket else ""),
        fix=f"read it, then: --trust-remote-code {flag}   or {TRUST_VARIABLE}={flag}",
        space=found.name,
        repository=place.partition("@")[0],
        revision=revision,
        pin=pin,
        files=[str(path) for path in files],
    )


def _code(found: Repository) -> list[Path]:
    return sorted(found.folder.rglob("*.py"))


def _digest(found: Repository, files: list[Path], digests: DigestCache) -> Digest:
    code = [[path.name, digests.of(path)] for path in _code(found)]
    return digest("internvl", [weights_digest(found, files, digests), code])


# --- the model -----------------------------------------------------------------------


def _side(found: Repository) -> int:
    forced = found.config.get("force_image_size")
    return forced if isinstance(forced, int) else found.number("vision_config", "image_size", 224)


def _flops(found: Repository) -> tuple[tuple[Modality, float], ...]:
    """Estimate the operations of both towers; what is not said is as in the published model."""

    def tower(part: str, width: int, inner: int, layers: int, matrices: int, tokens: int) -> float:
        width = found.number(part, "hidden_size", width)
        inner = found.number(part, "intermediate_size", inner)
        return transformer_flops(
            layers=found.number(part, "num_hidden_layers", layers),
            width=width,
            tokens=tokens,
            mlp_ratio=matrices / 2 * inner / width,
        )

    patches = (_side(found) // found.number("vision_config", "patch_size", 14)) ** 2 + 1
    return (
        ("image", tower("vision_config", 3200, 12800, 48, 2, patches)),
        # Its multilayer perceptron is gated, as LLaMA's: three matrices.
        ("text", tower("qllama_config", 4096, 11008, 32, 3, MAX_TOKENS)),
    )


def _model(found: Repository, dtype: Any) -> Any:
    transformers = import_package("transformers", found.uri, EXTRA)
    version = transformers.__version__
    named = "dtype" if int(version.split(".")[0]) >= 5 else "torch_dtype"
    try:
        # The real code prints when flash attention is missing, but stdout is for data.
        with quiet(), redirect_stdout(sys.stderr):
            model, info = transformers.AutoModel.from_pretrained(
                str(found.folder),
                local_files_only=True,
                trust_remote_code=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, with the keys' names
                **{named: dtype},
            )
    except ImportError as error:
        raise MissingError(
            f"the code of space '{found.name}' needs more packages",
            why=" ".join(str(error).split()),
            fix="install what it names",
            space=found.name,
        ) from error
    except (MolspaceError, MemoryError):
        raise
    # Anyone's code raises anything.
    except Exception as error:
        written = found.config.get("transformers_version", "another version")
        raise DataError(
            f"the code of space '{found.name}' does not run",
            why=f"{type(error).__name__}: {' '.join(str(error).split())}",
            fix=f"it was written for transformers {written}, {version} is installed",
            space=found.name,
        ) from error
    refuse_unfit(found, info)
    for method in ("encode_image", "encode_text"):
        if not callable(getattr(model, method, None)):
            raise DataError(
                f"the code of space '{found.name}' is not InternVL-C's",
                why=f"its model has no {method}",
                fix='take "hf:OpenGVLab/InternVL-14B-224px@COMMIT"',
                space=found.name,
            )
    return model
