"""Tables and values of lab files as pydantic models and types: what all of them have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reactions.core.errors import suggestion
from reactions.labs.mistakes import PLACE, mistake

_KEYWORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum"}


class Section(BaseModel):
    """A table of a lab file, whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    ELSEWHERE: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Keys of tables that may stand in its place: what is wrong with one here, and the fix."""

    MISSING_FIX: ClassVar[str] = ""
    TABLE_KEYS: ClassVar[str] = "its keys"
    """What to write in the table, for where a value stands in its place."""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, table: Any) -> Any:
        table = _check_table(table, cls.TABLE_KEYS)
        for key in table:
            cls.check_key(key)
        for name, field in cls.model_fields.items():
            if field.is_required() and name not in table:
                raise cls.missing(name)
        return table

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that the table may have."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def check_key(cls, key: str) -> None:
        """Refuse a key that the table does not have; the error has no place yet."""
        keys = cls.known_keys()
        if key not in keys:
            if key in cls.ELSEWHERE:
                what, fix = cls.ELSEWHERE[key]
                raise mistake("", what, fix)
            raise mistake("unknown key ", f".{key}", cls.key_fix(key))

    @classmethod
    def key_fix(cls, key: str) -> str:
        """Return what helps against a key that the table does not have."""
        near = dict.fromkeys([*cls.known_keys(), *cls.ELSEWHERE])  # a slip may be of either
        return suggestion(key, list(near))

    @classmethod
    def missing(cls, name: str) -> PydanticCustomError:
        """Return the error for a key that has to be there."""
        return mistake("", f".{name} is missing", cls.MISSING_FIX)


def check_table(table: Any) -> Any:
    """Refuse what is not a table."""
    return _check_table(table, "its keys")


def _check_table(table: Any, keys: str) -> Any:
    if not isinstance(table, Mapping):
        raise mistake("'", "' is not a table", f"write [{PLACE}], and below it {keys}")
    return table


def for_editors(**limits: float) -> dict[str, Any]:
    """Return limits (``gt``, ``ge``, ``le``) for the JSON Schema alone; others check them."""
    return {_KEYWORDS[name]: limit for name, limit in limits.items()}


# --- values ------------------------------------------------------------------------------


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise mistake("", " is empty")
    return text


def _share(words: str) -> AfterValidator:
    def check(value: float) -> float:
        if not 0 <= value <= 1:
            raise mistake("", f" must be {words}, not {value!r}")
        return value

    return AfterValidator(check)


def _check_column(value: Any) -> Any:
    if type(value) is int:
        if value < 0:
            raise mistake("", f" is {value}; columns are counted from 0")
    elif not isinstance(value, str):
        raise mistake("", f" must be a string or a whole number, not {value!r}")
    else:
        _check_not_blank(value)
    return value


def _check_delimiter(text: str) -> str:
    if len(text) != 1 or text in ('"', "\r", "\n", "\0"):
        raise mistake(
            "",
            " must be one character, no quote and no line break",
            'delimiter = ";"   or, for tabs,   delimiter = "\\t"',
        )
    return text


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _check_some(values: list[Any]) -> list[Any]:
    if not values:
        raise mistake("", " is an empty list")
    return values


_FROM_0_TO_1 = Field(json_schema_extra=for_editors(ge=0, le=1))
Text: TypeAlias = Annotated[
    str, AfterValidator(_check_not_blank), Field(json_schema_extra={"pattern": r"\S"})
]
Texts: TypeAlias = Annotated[
    list[Text], BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])
]
"""One or several; an empty list is none."""

SomeTexts: TypeAlias = Annotated[
    list[Text],
    AfterValidator(_check_some),
    BeforeValidator(
        _as_list, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
    ),
]
"""One or several, and not none."""

Factor: TypeAlias = Annotated[float, _share("0 to 1"), _FROM_0_TO_1]
Share: TypeAlias = Annotated[float, _share("a share from 0 to 1"), _FROM_0_TO_1]
_NameOrNumber: TypeAlias = Text | Annotated[int, Field(json_schema_extra=for_editors(ge=0))]
Column: TypeAlias = Annotated[_NameOrNumber, BeforeValidator(_check_column)]
Columns: TypeAlias = Annotated[
    list[Column],
    BeforeValidator(_as_list, json_schema_input_type=_NameOrNumber | list[_NameOrNumber]),
]
"""One or several; an empty list is none."""

SomeColumns: TypeAlias = Annotated[
    list[Column],
    AfterValidator(_check_some),
    BeforeValidator(
        _as_list,
        json_schema_input_type=_NameOrNumber | Annotated[list[_NameOrNumber], Field(min_length=1)],
    ),
]
"""One or several, and not none."""

Delimiter: TypeAlias = Annotated[
    str,
    AfterValidator(_check_delimiter),
    Field(json_schema_extra={"pattern": r'^[^"\r\n\u0000]$'}),
]
