"""The hyper-parameters of a reaction, each declared once: type, default, range and description.

Lab files, their JSON Schema and the check of a bundle's record read them from here.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from reactions.core.errors import UsageError, suggestion
from reactions.core.step import NOT_IN_KEY, UNLESS_DEFAULT
from reactions.core.tuning_options import Heads

MAX_HOLDOUT = 0.5
"""More than half held back would measure a product that hardly anything was learnt for."""


MAX_SUBSETS = 1023
"""All subsets of ten modalities."""

_SUBSET_RULES = ("all", "singles+all")

Subsets: TypeAlias = str | tuple[tuple[str, ...], ...]
"""``"all"``, ``"singles+all"``, or sorted subsets of modalities."""


def read_subsets(value: Any) -> Subsets:
    """Return which subsets of its modalities a mixture has a projector for.

    Args:
        value: a rule, or lists of modalities.

    Raises:
        UsageError: it is neither, or a subset is empty or given twice.
    """
    name = "reaction.subsets"
    if isinstance(value, str):
        if value not in _SUBSET_RULES:
            raise UsageError(f"{name} is '{value}'", fix=suggestion(value, _SUBSET_RULES))
        return value
    subsets = []
    for subset in value if isinstance(value, list | tuple) else [None]:
        if not isinstance(subset, list | tuple) or not all(isinstance(m, str) for m in subset):
            raise UsageError(
                f"{name} is {value!r:.80}",
                why="it must be one of " + ", ".join(f'"{rule}"' for rule in _SUBSET_RULES),
                fix='or a list of lists of modalities: [["audio"], ["audio", "text"]]',
            )
        if not subset:
            raise UsageError(f"{name} has an empty subset", fix="take it out")
        if len(set(subset)) < len(subset):
            raise UsageError(f"{name} names a modality twice in {list(subset)}")
        subsets.append(tuple(sorted(subset)))
    if not subsets:
        raise UsageError(f"{name} is an empty list", fix=f'"{_SUBSET_RULES[0]}"')
    if len(set(subsets)) < len(subsets):
        again = next(subset for subset in subsets if subsets.count(subset) > 1)
        raise UsageError(f"{name} has the subset {list(again)} twice", fix="take one out")
    if len(subsets) > MAX_SUBSETS:
        raise UsageError(f"{name} has {len(subsets)} subsets", why=f"at most {MAX_SUBSETS}")
    return tuple(subsets)


_SUBSETS_SCHEMA = {
    "anyOf": [
        {"enum": list(_SUBSET_RULES)},
        {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        },
    ]
}


def setting(
    default: Any,
    description: str,
    *,
    metadata: Mapping[str, Any] = MappingProxyType({}),
    **limits: float,
) -> Any:
    """Declare a hyper-parameter.

    Args:
        default: its value where a lab file is silent.
        description: for people, in editors and in errors.
        metadata: more of its field.
        limits: ``gt``, ``ge`` and ``le`` of a finite number.
    """
    return field(
        default=default, metadata={**metadata, "description": description, "limits": limits}
    )


# Annotations are objects here (no ``from __future__``), so that choices are read from them.
@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Those that a lab file gives under ``[reaction]`` and that no plan chooses.

    A further one is a field here, and what ``ops.fit`` does with it: labs, their schema, plans
    and keys take it from this class. With ``metadata=UNLESS_DEFAULT`` it leaves the keys of
    earlier results as they are.
    """

    learning_rate: float = setting(1e-3, "Adam's learning rate, constant.", gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionSettings(Hyperparameters):
    """Hyper-parameters of a reaction: those of ``Hyperparameters``, and these.

    Temperatures and learning rate default to the paper's. Where width, batch size and epochs
    are None, a plan chooses them from the number of rows (``reactions.labs.choices``).

    Raises:
        UsageError: a value is outside of its range, or not one of its choices.

    Source: Molecule-Space, section 4.1; hidden width: the published checkpoints.
    """

    collect_temperature: float = setting(
        1 / 100, "Temperature of the softmax that collects pseudo-pairs.", gt=0
    )
    info_nce_temperature: float = setting(1 / 50, "Temperature of the InfoNCE loss.", gt=0)
    hidden_dim: int | None = setting(
        None, "Width of the projectors' hidden layers; chosen by the number of rows.", gt=0
    )
    batch_size: int | None = setting(
        None, "Pseudo-pairs an optimiser step; chosen by the number of rows.", ge=2
    )
    dr_epochs: int | None = setting(
        None, "Passes over a subset for a displacement; chosen by the number of rows.", gt=0
    )
    cr_epochs: int | None = setting(
        None, "Passes over a subset for a combination; chosen by the number of rows.", gt=0
    )
    holdout: float = setting(
        0.05,
        "Share of ids held back from training, to measure the product with.",
        ge=0,
        le=MAX_HOLDOUT,
    )
    precision: Literal["fast", "exact"] = setting(
        "fast",
        "Of collecting and training: 'fast' takes 16-bit products where the device has fast "
        "ones (a CPU without draws among keys that weigh little), 'exact' computes in float32.",
    )
    # What float16 rounds away (2^-11 of each element) outweighs all other errors of ``exact``.
    dtype: Literal["auto", "float16", "float32"] = setting(
        "auto",
        "How embeddings and pseudo-pairs are stored; 'auto' is float32 for 'exact', and "
        "float16 for 'fast'.",
    )
    subsets: str | tuple[tuple[str, ...], ...] = setting(
        "all",
        "Subsets of a mixture's modalities with a projector each: 'all', 'singles+all' (each "
        "modality alone, and all together), or a list of lists of modalities.",
        metadata={**UNLESS_DEFAULT, "read": read_subsets, "schema": _SUBSETS_SCHEMA},
    )
    shard_rows: int = setting(1 << 16, "Rows a shard: what a killed run may lose.", gt=0)

    def __post_init__(self) -> None:
        check_settings(self, "reaction")

    @property
    def stored_dtype(self) -> str:
        """``"float16"`` or ``"float32"``: what ``dtype`` means at this precision."""
        if self.dtype != "auto":
            return self.dtype
        return "float32" if self.precision == "exact" else "float16"

    def to_json(self) -> dict[str, Any]:
        """Return all settings as they act, as a JSON object."""
        return {**asdict(self), "dtype": self.stored_dtype}


def read_heads(value: Any) -> Heads:
    """Return what ``Ft`` tunes: the encoder and copies of the projectors, or one of the two.

    Args:
        value: true, false or "only"; the first two also as text, as the language has them.

    Raises:
        UsageError: it is none of them.
    """
    # Not by ``in``: 1 equals True.
    for text, heads in _HEADS.items():
        if value is heads or value == text:
            return heads
    fix = suggestion(str(value), list(_HEADS))
    raise UsageError(f"heads is {value!r:.80}", why="it is true, false or only", fix=fix)


_HEADS: Mapping[str, Heads] = {"true": True, "false": False, "only": "only"}


MAX_LORA_RANK = 4096
"""The largest rank of LoRA, in settings and in bundles: every linear layer gets factors of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """Hyper-parameters of ``Ft``, which a lab file gives under ``[tuning]``.

    Raises:
        UsageError: a value is outside of its range, or not one of its choices.

    Source: Molecule-Space, section 3.3, names InfoNCE on pairs and no numbers: these are our own
    (docs/tuning.md).
    """

    heads: bool | str = setting(
        True,
        "What Ft tunes where a reaction says nothing: true, the encoder and copies of the "
        'projectors behind it; false, the encoder alone; "only", the copies alone.',
        metadata={"read": read_heads, "schema": {"enum": list(_HEADS.values())}},
    )
    epochs: int = setting(10, "Passes over the pairs.", gt=0, le=1_000_000)
    learning_rate: float = setting(3e-3, "Peak learning rate of the projectors.", gt=0, le=10)
    encoder_learning_rate: float = setting(1e-3, "Peak learning rate of the encoder.", gt=0, le=10)
    batch_size: int = setting(512, "Pairs an optimiser step.", ge=2, le=1 << 20)
    micro_batch: int = setting(
        64, "Items that go through the encoder at once; a batch is made of several.", gt=0
    )
    temperature: float = setting(1 / 20, "Temperature of the InfoNCE loss.", gt=0)
    weight_decay: float = setting(0.02, "AdamW's weight decay.", ge=0)
    warm_up: float = setting(
        0.2, "Share of the steps in which the learning rate rises to its peak.", ge=0, le=1
    )
    lora_rank: int | None = setting(
        None,
        "Rank of LoRA updates of the encoder; none: its weights are tuned.",
        gt=0,
        le=MAX_LORA_RANK,
    )
    checkpoint_minutes: float = setting(
        10.0, "How much work a killed run may lose within a tuning.", ge=0, metadata=NOT_IN_KEY
    )

    def __post_init__(self) -> None:
        check_settings(self, "tuning")


def check_settings(settings: Any, table: str) -> None:
    """Check every field of a dataclass of settings against its own declaration.

    Raises:
        UsageError: a value is outside of its range, or not one of its choices.
    """
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if "read" in entry.metadata:
            try:
                object.__setattr__(settings, entry.name, entry.metadata["read"](value))
            except UsageError as error:
                field_name = error.what.removeprefix(f"{table}.")
                raise UsageError(f"{table}.{field_name}", why=error.why, fix=error.fix) from None
            continue
        choices = [choice for choice in get_args(entry.type) if isinstance(choice, str)]
        if choices and value not in choices:
            raise UsageError(
                f"{table}.{entry.name} is '{value}'", fix=suggestion(str(value), choices)
            )
        if not choices and value is not None:
            check_setting(entry, value, f"{table}.{entry.name}")


def check_setting(entry: Any, value: float, name: str) -> None:
    """Check a number against the range that a setting declares.

    Args:
        entry: the field of the setting.
        value: the number.
        name: what the error calls it.

    Raises:
        UsageError: it is outside.
    """
    _check_range(name, value, entry.metadata["description"], **entry.metadata["limits"])


def _check_range(
    name: str,
    value: float,
    description: str,
    *,
    gt: float = -math.inf,
    ge: float = -math.inf,
    le: float = math.inf,
) -> None:
    if not (math.isfinite(value) and value > gt and ge <= value <= le):
        limits = [f"above {_plain(gt)}"] if gt > -math.inf else [f"at least {_plain(ge)}"]
        limits += [f"at most {_plain(le)}"] if le < math.inf else []
        why = f"it must be {' and '.join(limits)}. {description}"
        raise UsageError(f"{name} is {value}", why=why)


def _plain(number: float) -> str:
    """Return a number as people write it: 1,048,576, not 1.04858e+06."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"


PAPER_SETTINGS = ReactionSettings(
    hidden_dim=2048, batch_size=4096, dr_epochs=5, cr_epochs=20, holdout=0.0
)
"""The paper's own: its numbers for all, nothing held back."""
