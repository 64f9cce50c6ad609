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
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import DataError, MissingError, MolspaceError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.preprocessing.tokens import locked, note_cut
from reactions.encoders.transformers.image_processor import transform_of
from reactions.encoders.transformers.repository import (
    EXTRA,
    Repository,
    RepositoryAdapter,
    quiet,
    refuse_unfit,
    tokeniser,
    tokeniser_tag,
)
from reactions.weights.hub import (
    TRUST_VARIABLE,
    code_digest,
    commit_of,
    is_commit,
    split_repo,
    trusted,
    trusted_commit,
    trusts_folder,
)
from reactions.weights.hub_layout import code_file, code_references
from reactions.weights.safe_load import refuse_code

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.encoders.tower import TowerEncoder

MODE = "InternVL-C"
PREFIX = "summarize:"
MAX_TOKENS = 80
PAD_ID = 0


class InternVLAdapter(RepositoryAdapter):
    """``hf:ORG/REPO@COMMIT`` and ``hf:./FOLDER`` of InternVL-C; see the module."""

    scheme = "internvl"
    precision = "bf16"
    packages = ()  # looked for once the code was allowed

    def accept(self, repo: Repository) -> Repository:
        """Return a repository of InternVL-C whose revision, and all of whose code, is pinned."""
        uri = repo.request.uri
        if "clip_embed_dim" not in repo.config or not code_references(repo.config):
            raise DataError(
                f'cannot run the model "{uri}"',
                why="of the InternVL models only InternVL-C (and its stand-ins) embeds: this one's "
                "configuration has no clip_embed_dim, or no code",
                fix='take "hf:OpenGVLab/InternVL-14B-224px@COMMIT"',
                uri=uri,
            )
        if not repo.is_own and not is_commit(_revision(repo.request.rest)):
            raise _unpinned(repo)
        for reference in code_references(repo.config):
            _check_code(repo, reference)
        return repo

    def describe(self, files: Repository, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a repository; nothing of it runs."""
        precision = self.precision_of(files)
        image = transform_of(files, "clip", _side(files)).tag
        text = f"summarize-{tokeniser_tag(files, digests)}-truncate{MAX_TOKENS}-1"
        return self.description(
            files,
            digests,
            dim=files.number("", "clip_embed_dim", 768),
            preprocessing=(("image", f"{image}-{precision}"), ("text", f"{text}-{precision}")),
            flops_per_item=_flops(files),
        )

    def digest(self, files: Repository, digests: DigestCache) -> Digest:
        """Return the digest of configuration, weights and code."""
        code = [[path.name, digests.of(path)] for path in _code(files)]
        return digest("internvl", [super().digest(files, digests), code])

    def require(self, spec: SpaceSpec, files: Repository) -> None:
        """Check that a person allowed the code, and that all weights are here."""
        _allow(files)
        need_package("transformers", spec.source, EXTRA)
        super().require(spec, files)

    def open(self, spec: SpaceSpec, files: Repository, device: str) -> TowerEncoder:
        """Run the repository's code, which was allowed, and load its weights."""
        from reactions.encoders.tower import TowerEncoder, element_type, image_tower, text_tower

        for path in files.weights:
            refuse_code(path)
        precision = self.precision_of(files)
        dtype = element_type(precision)
        model = remote_model(files, dtype).to(device=device, dtype=dtype).eval()
        words = tokeniser(files)

        def encode_images(pixels: Tensor) -> Any:
            return model.encode_image(pixels, mode=MODE)

        def tokenise(text: str) -> list[int]:
            # Ends are set here: whether a tokeniser adds them depends on its version.
            ids = words(PREFIX + text, add_special_tokens=False, verbose=False)["input_ids"]
            if len(ids) > MAX_TOKENS - 2:
                note_cut(MAX_TOKENS)
            return [words.bos_token_id, *ids[: MAX_TOKENS - 2], words.eos_token_id]

        transform = transform_of(files, "clip", _side(files))
        image = image_tower(
            transform, encode_images, device=device, precision=precision, batch_items=32
        )
        text = text_tower(
            locked(tokenise),
            model.encode_text,
            device=device,
            pad_id=PAD_ID,
            batch_items=32,
            most=MAX_TOKENS,
        )
        return TowerEncoder(spec, {"image": image, "text": text})


# --- what may run --------------------------------------------------------------------


def _revision(rest: str) -> str:
    """Return the revision that a URI names, or at which a person trusts its repository."""
    repo, revision = split_repo(rest)
    return revision or trusted_commit(repo)


def _unpinned(repo: Repository) -> UsageError:
    uri, name = repo.request.uri, repo.request.name
    place = repo.uri.partition(":")[2]
    pinned = f'"hf:{place}"'
    if name:  # a lab gave it
        pinned = f'in a molspace.toml with extends = "paper": [spaces.{name}] uri = {pinned}'
    return UsageError(
        f'"{uri}" brings code, so its revision has to be pinned',
        why="a branch can move, and other code would run",
        fix=f"read {repo.folder}, then: {TRUST_VARIABLE}={place}   "
        f"or --trust-remote-code {place}; to pin it for others, too, {pinned}",
        uri=uri,
        revision=commit_of(repo.folder),
    )


def _check_code(repo: Repository, reference: str) -> None:
    """Raise unless the code of a class is in a repository."""
    file = code_file(reference)
    what = f"the code of space '{repo.name}' is not all in its repository"
    if not re.fullmatch(r"\w+\.py", file):  # elsewhere: another repository, another folder
        raise UsageError(
            what,
            why=f"its config.json refers to '{reference}', whose revision nothing pins",
            fix="copy that code into a folder of your own beside the weights, name it in "
            'config.json without "ORG/REPO--", and write hf:./FOLDER',
            space=repo.name,
        )
    if not (repo.folder / file).is_file():
        raise MissingError(
            what,
            why=f"its config.json refers to '{reference}', but there is no {file}",
            fix=repo.bring(file),
            looked_in=[str(repo.folder)],
            space=repo.name,
        )


def _allow(repo: Repository) -> None:
    """Check that a person allowed a repository's code.

    Raises:
        UsageError: they did not.
    """
    place = repo.uri.partition(":")[2]
    pin = place
    if repo.is_own:
        try:
            digest_ = code_digest(repo.folder)
        except OSError as error:
            raise repo.damaged(f"its code cannot be read: {error.strerror}") from None
        if trusts_folder(repo.folder, digest_):
            return
        pin = f"{repo.folder}@sha256:{digest_}"
    elif place in trusted():
        return
    files = _code(repo)
    revision = commit_of(repo.folder)
    flag = f'"{pin}"' if re.search(r"[^\w@:./-]", pin) else pin
    blanket = [word for word in trusted() if "@" not in word]
    raise UsageError(
        f"space '{repo.name}' runs code that comes with its weights",
        why=f"{place.partition('@')[0]} at "
        f"{'revision ' + revision if revision else 'no revision'}: "
        f"{', '.join(path.name for path in files)} in {repo.folder}"
        + (f"; {TRUST_VARIABLE}={blanket[0]} names no commit and no digest" if blanket else ""),
        fix=f"read it, then: --trust-remote-code {flag}   or {TRUST_VARIABLE}={flag}",
        space=repo.name,
        repository=place.partition("@")[0],
        revision=revision,
        pin=pin,
        files=[str(path) for path in files],
    )


def _code(repo: Repository) -> list[Path]:
    return sorted(repo.folder.rglob("*.py"))


# --- the model -----------------------------------------------------------------------


def _side(repo: Repository) -> int:
    forced = repo.config.get("force_image_size")
    return forced if isinstance(forced, int) else repo.number("vision_config", "image_size", 224)


def _flops(repo: Repository) -> tuple[tuple[Modality, float], ...]:
    """Estimate the operations of both towers; what is not said is as in the published model."""
    patches = (_side(repo) // repo.number("vision_config", "patch_size", 14)) ** 2 + 1
    image = repo.tower_flops("vision_config", tokens=patches, width=3200, inner=12800, layers=48)
    # Its multilayer perceptron is gated, as LLaMA's: three matrices.
    text = repo.tower_flops(
        "qllama_config", tokens=MAX_TOKENS, width=4096, inner=11008, layers=32, matrices=3
    )
    return (("image", image), ("text", text))


def remote_model(repo: Repository, dtype: Any) -> Any:
    """Run a repository's code, which was allowed, and return its model with its weights.

    Args:
        repo: whose code ``InternVLAdapter.require`` let pass.
        dtype: torch's type of element.

    Raises:
        MissingError: the code needs packages that are not installed.
        DataError: it does not run, or its weights do not fit.
    """
    transformers = import_package("transformers", repo.uri, EXTRA)
    version = transformers.__version__
    # Renamed between these versions: all of 4 know torch_dtype, all of 5 dtype.
    dtype_option = "dtype" if int(version.split(".")[0]) >= 5 else "torch_dtype"
    try:
        # The real code prints when flash attention is missing, but stdout is for data.
        with quiet(), redirect_stdout(sys.stderr):
            model, info = transformers.AutoModel.from_pretrained(
                str(repo.folder),
                local_files_only=True,
                trust_remote_code=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, with the keys' names
                **{dtype_option: dtype},
            )
    except ImportError as error:
        raise MissingError(
            f"the code of space '{repo.name}' needs more packages",
            why=" ".join(str(error).split()),
            fix="install what it names",
            space=repo.name,
        ) from error
    except (MolspaceError, MemoryError):
        raise
    # Anyone's code raises anything.
    except Exception as error:
        written = repo.config.get("transformers_version", "another version")
        raise DataError(
            f"the code of space '{repo.name}' does not run",
            why=f"{type(error).__name__}: {' '.join(str(error).split())}",
            fix=f"it was written for transformers {written}, {version} is installed",
            space=repo.name,
        ) from error
    refuse_unfit(repo, info)
    for method in ("encode_image", "encode_text"):
        if not callable(getattr(model, method, None)):
            raise DataError(
                f"the code of space '{repo.name}' is not InternVL-C's",
                why=f"its model has no {method}",
                fix='take "hf:OpenGVLab/InternVL-14B-224px@COMMIT"',
                space=repo.name,
            )
    return model
