"""Which open_clip model a URI names: architectures, published tags, repositories, checkpoints."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, suggestion
from reactions.core.local_files import expand_user, is_file, read_text_file, replace_file
from reactions.core.paths import cache_root
from reactions.encoders.base import SpaceRequest
from reactions.encoders.packages import import_package, need_package
from reactions.weights.hub import commit_of, split_repo
from reactions.weights.locate import (
    WeightsFile,
    WeightsRepo,
    find_folder,
    missing,
)

_MAX_JSON_BYTES = 1 << 20

ADAPTER = "open_clip"
EXTRA = "open-clip"
OPTIONS = ("like", "precision")
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class OpenClipModel:
    """What a URI names, before its weights are looked for.

    Attributes:
        uri: canonical, without options.
        name: a short one.
        config: open_clip's model configuration.
        preprocess: open_clip's settings of the image transform.
        files: forms of the weights on the hub, the best first; () where ``path`` is given.
        path: the checkpoint, where it is a file of one's own.
        folder: the repository's folder on this machine, where there is one.
    """

    uri: str
    name: str
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    files: tuple[WeightsFile, ...] = ()
    path: Path | None = None
    folder: Path | None = None


def parse(request: SpaceRequest) -> OpenClipModel:
    """Return the model that an ``open_clip:`` URI names.

    Raises:
        MissingError: open_clip is not installed, knows no such model, or a folder is missing.
        DataError: a configuration is damaged.
    """
    rest, name, locator = request.rest, request.name, request.locator
    if rest.startswith("hf-hub:"):
        repo, revision = split_repo(rest.removeprefix("hf-hub:"))
        short = name or repo.rpartition("/")[2]
        needed = WeightsRepo(repo, revision, (CONFIG,), WEIGHTS)
        folder = find_folder(short, needed, locator, fetch=f"{ADAPTER}:{rest}")
        commit = commit_of(folder)
        if name in locator.overrides:
            place = f"{folder.absolute()}"
        else:
            place = f"hf-hub:{repo}" + (f"@{commit}" if commit else "")
        return _from_folder(f"{ADAPTER}:{place}", short, folder)
    folder = expand_user(rest)
    if is_file(folder / CONFIG):
        folder = locator.overrides.get(name, folder)
        if not is_file(folder / CONFIG):
            raise missing(name, [folder], locator)
        return _from_folder(f"{ADAPTER}:{folder.absolute()}", folder.resolve().name, folder)
    if rest.startswith(("/", "./", "../", "~")):
        raise MissingError(
            f"no open_clip model at '{folder}'",
            why=f"there is no file '{folder.absolute() / CONFIG}'",
            fix=f"give a folder with {CONFIG} and weights, or open_clip:ARCH/CHECKPOINT",
            uri=request.uri,
        )
    return _from_tables(request.uri, rest, request.options)


def _from_folder(uri: str, name: str, folder: Path) -> OpenClipModel:
    path = folder / CONFIG
    try:
        settings = json.loads(read_text_file(path, _MAX_JSON_BYTES))
        config, preprocess = dict(settings["model_cfg"]), dict(settings.get("preprocess_cfg", {}))
        if not isinstance(config["embed_dim"], int):
            raise TypeError(f"embed_dim is {config['embed_dim']!r}")
        dict(config["text_cfg"]), dict(config["vision_cfg"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"cannot read '{path}'",
            why=f"no {error}" if isinstance(error, KeyError) else str(error),
            path=str(path),
        ) from error
    for file in WEIGHTS:
        if is_file(folder / file):
            return OpenClipModel(uri, name, config, preprocess, path=folder / file, folder=folder)
    raise MissingError(
        f"no weights for space '{name}'",
        why=f"there is neither {' nor '.join(WEIGHTS)}",
        fix=f'molspace spaces fetch "{uri}"' if "hf-hub:" in uri else "",
        looked_in=[str(folder)],
        space=name,
    )


def _from_tables(uri: str, rest: str, options: Mapping[str, str]) -> OpenClipModel:
    tables = _tables(uri)
    configs, tags = tables["configs"], tables["tags"]
    arch, tag = _split(rest, configs, uri)
    arch_tags = tags.get(arch, {})
    # Tags in any spelling that open_clip takes.
    published = arch_tags.get(tag.lower().replace("-", "_"))
    like = options.get("like", "")
    if like and like not in arch_tags:
        raise MissingError(
            f"open_clip has no weights '{like}' for {arch}",
            fix=suggestion(like, arch_tags),
            uri=uri,
        )
    config = dict(configs[arch])
    if published is None:
        path = expand_user(tag)
        if not is_file(path):
            raise MissingError(
                f"open_clip has no weights '{tag}' for {arch}",
                why=f"and there is no file '{path.absolute()}'",
                fix=suggestion(tag, arch_tags) or "give the path of a checkpoint",
                uri=uri,
            )
        preprocess = arch_tags.get(like, {})
        config = _activated(config, preprocess)
        file_uri = f"{ADAPTER}:{arch}/{path.absolute()}"
        return OpenClipModel(file_uri, f"{arch}-{path.stem}", config, preprocess, path=path)
    tag = tag.lower().replace("-", "_")
    repo, _, filename = published["hf_hub"].rpartition("/")
    names = (f"{filename.rpartition('.')[0]}.safetensors", filename) if filename else WEIGHTS
    return OpenClipModel(
        f"{ADAPTER}:{arch}/{tag}",
        f"{arch}-{tag}",
        _activated(config, published),
        published,
        files=tuple(WeightsFile(name, repo=repo) for name in names),
    )


def _split(rest: str, configs: Mapping[str, Any], uri: str) -> tuple[str, str]:
    """Split ``ARCH/TAG``, where OpenAI's spelling of ARCH holds a slash itself: ``ViT-B/32``."""
    parts = rest.split("/")
    for n in (1, 2):
        arch, tag = "-".join(parts[:n]), "/".join(parts[n:])
        if arch in configs:
            if not tag:
                raise MissingError(
                    f'"{uri}" names no weights',
                    fix=f"open_clip:{arch}/TAG, such as laion2b_s34b_b79k, or a checkpoint's path",
                    uri=uri,
                )
            return arch, tag
    raise MissingError(
        f"open_clip has no architecture '{parts[0]}'",
        fix=suggestion(parts[0], configs) if len(parts[0]) > 1 else "open_clip:ARCH/TAG",
        uri=uri,
    )


def _activated(config: dict[str, Any], published: Mapping[str, Any]) -> dict[str, Any]:
    # open_clip only warns when weights trained with a quick GELU meet a configuration without;
    # the embeddings are wrong then, so the weights have the last word.
    return {**config, "quick_gelu": True} if published.get("quick_gelu") else config


def _tables(uri: str) -> Mapping[str, Any]:
    """Return open_clip's configurations and tags.

    Importing it takes seconds, so they are kept beside the store, for the installed version.
    """
    need_package("open_clip", uri, EXTRA)
    imported = "open_clip" in sys.modules  # where a program may have added its own
    version = importlib.metadata.version("open_clip_torch")
    cache_file = cache_root() / f"open_clip-{version}.json"
    if not imported:
        with contextlib.suppress(OSError, ValueError):
            tables: Mapping[str, Any] = json.loads(cache_file.read_text(encoding="utf-8"))
            return tables
    open_clip = import_package("open_clip", uri, EXTRA)
    tags: dict[str, dict[str, Any]] = {}
    for arch, tag in open_clip.list_pretrained():
        tags.setdefault(arch, {})[tag] = open_clip.get_pretrained_cfg(arch, tag)
    configs = {arch: open_clip.get_model_config(arch) for arch in open_clip.list_models()}
    tables = {"configs": configs, "tags": tags}
    if not imported:
        with contextlib.suppress(OSError):  # only costs the next process its time
            replace_file(cache_file, json.dumps(tables))
    return tables
