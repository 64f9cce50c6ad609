"""PointBind as a URI: ImageBind with a tower for points.

    pointbind:FILE                      pointbind_i2pmae.pt or pointbind_pointbert.pt
    pointbind:FILE?imagebind=PATH       beside another copy of ImageBind than the one fetched

It opens as ``imagebind:PATH?point=FILE``: sounds, pictures and texts have the keys of ImageBind's
own, so that nothing which that embedded is embedded again. Other options are ``imagebind:``'s.
The published checkpoints lie on Google Drive (README of ZiyuGuo99/Point-Bind_Point-LLM), from
where they have to be fetched by hand; they hold ImageBind as well, whose licence
(CC-BY-NC-SA 4.0) does not allow commercial use.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reactions.core.errors import MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import expand_user, is_file
from reactions.core.types import Encoder, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.encoders.imagebind.adapter import WEIGHTS, ImageBindAdapter
from reactions.encoders.uri import join_options
from reactions.weights.locate import Requirement, WeightsFile, find_file

FILES = ("pointbind_i2pmae.pt", "pointbind_pointbert.pt")
"""What the published checkpoints are called."""


class PointBindAdapter(Adapter[SpaceRequest]):
    """``pointbind:FILE``; see the module."""

    scheme = "pointbind"
    options = ("imagebind", *(o for o in ImageBindAdapter.options if o != "point"))

    def describe(self, files: SpaceRequest, digests: DigestCache) -> SpaceSpec:
        """Describe ImageBind with the tower of a checkpoint of PointBind's."""
        request = files
        space = request.name or "PointBind"
        path = _checkpoint(request, space)
        imagebind = ImageBindAdapter()
        checkpoint = imagebind.locate(
            replace(imagebind.request(_imagebind_uri(request)), locator=request.locator)
        )
        options = {k: v for k, v in request.options.items() if k != "imagebind"}
        both = replace(checkpoint, space=space, options={**options, "point": str(path)})
        return imagebind.describe(both, digests)

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return ImageBind, where it is to be fetched."""
        return ImageBindAdapter().requirements(_imagebind_uri(self.request(uri)))

    def open(self, spec: SpaceSpec, files: SpaceRequest, device: str) -> Encoder:
        """Open nothing: what this describes, ``ImageBindAdapter`` opens."""
        raise MissingError(
            f"space '{spec.name}' is not described as this version does",
            fix='name it by its URI: "pointbind:FILE"',
            space=spec.name,
        )


def _checkpoint(request: SpaceRequest, space: str) -> Path:
    """Return where PointBind's own file lies: at a path, or, by its published name, with weights.

    Raises:
        MissingError: it is nowhere.
    """
    path = expand_user(request.rest).absolute()
    if is_file(path) and space not in request.locator.overrides:
        return path
    try:
        return find_file(space, WeightsFile(request.rest), request.locator)
    except MissingError as error:
        error.fix = (
            f"fetch {' or '.join(FILES)} by hand, from the Google Drive that the README of "
            "ZiyuGuo99/Point-Bind_Point-LLM names, and give its path: pointbind:FILE, or put it "
            f"into {request.locator.own_folder(space)}"
        )
        raise


def _imagebind_uri(request: SpaceRequest) -> str:
    options = {k: v for k, v in request.options.items() if k not in ("imagebind", "sampling")}
    return join_options(f"imagebind:{request.options.get('imagebind', WEIGHTS.filename)}", options)
