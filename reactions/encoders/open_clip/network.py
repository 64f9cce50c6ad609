"""open_clip's own classes, built from a configuration with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reactions.core.errors import DataError, guarded, suggestion
from reactions.encoders.open_clip.model_names import EXTRA, OpenClipModel
from reactions.encoders.packages import import_package
from reactions.weights.hub import hub_snapshot
from reactions.weights.locate import WeightLocator, WeightsRepo, missing


def build_network(open_clip: Any, model: OpenClipModel, space: str, locator: WeightLocator) -> Any:
    """Build the model with random weights, asking no hub for those of its towers.

    Raises:
        MissingError: the configuration of a text tower is not on this machine.
        DataError: the configuration names what open_clip or timm does not have.
    """
    config = {key: value for key, value in model.config.items() if key != "custom_text"}
    text = config["text_cfg"] = {**config["text_cfg"], "hf_model_pretrained": False}
    vision = config["vision_cfg"] = {**config["vision_cfg"]}
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
        _check_image_tower(vision["timm_model_name"], model, space)
    if "hf_model_name" in text:
        tower = WeightsRepo(text["hf_model_name"], files=("config.json",))
        snapshot = hub_snapshot(tower.repo, "", locator.hub)
        if snapshot is None:
            raise missing(space, [locator.hub / tower.repo], locator, fetch=model.uri)
        text["hf_model_name"] = str(snapshot)
    else:
        del text["hf_model_pretrained"]
    # The class that open_clip's create_model would choose.
    if "multimodal_cfg" in config:
        kind = open_clip.CoCa
    elif model.config.get("custom_text") or "hf_model_name" in text:
        kind = open_clip.CustomTextCLIP
    else:
        kind = open_clip.CLIP
    with guarded(lambda error: _unusable(model, space, config, error)):
        return kind(**config)


def _check_image_tower(name: Any, model: OpenClipModel, space: str) -> None:
    """Refuse an image tower that timm does not have, among them one that it would download."""
    timm = import_package("timm", model.uri, EXTRA)
    if not (isinstance(name, str) and timm.is_model(name)):
        raise DataError(
            f"unknown architecture '{name}' of the image tower of space '{space}'",
            why=f"timm {timm.__version__} has no model of this name",
            fix=suggestion(str(name), timm.list_models(), see="timm.list_models(), in Python"),
            space=space,
            architecture=str(name),
        )


def _unusable(
    model: OpenClipModel, space: str, config: Mapping[str, Any], error: Exception
) -> DataError:
    why = next(iter(str(error).splitlines()), "") or f"a value of {', '.join(config)} is wrong"
    return DataError(
        f"open_clip cannot build space '{space}' from its configuration",
        why=why,
        fix="correct the configuration, or update open_clip (pip install -U open_clip_torch)",
        space=space,
        path=str(model.folder or ""),
    )
