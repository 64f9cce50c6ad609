"""Which licence of several binds most.

A guide for people, read off the names of the licences; not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_IDS = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 cc0-1.0 cc-by-2.0
cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
creativeml-openrail-m epl-2.0 gpl-2.0 gpl-3.0 isc lgpl-2.1 lgpl-3.0 mit mpl-2.0 openrail unlicense
"""
HUB_IDS = frozenset(_IDS.split())
"""Licences that the hub knows by these identifiers; any other is ``other`` there."""

_SHARE_ALIKE = {"agpl", "epl", "gpl", "lgpl", "mpl", "openrail", "sa"}
_FREE = {"afl", "apache", "artistic", "bsd", "bsl", "by", "cc0", "isc", "mit", "unlicense"}


def is_non_commercial(licence: str) -> bool:
    """Return whether a licence's name says that commercial use is not allowed."""
    # "nc" as a word of its own: "licence" holds it, too.
    return bool(re.search(r"non.?commercial|(?<![a-z])nc(?![a-z])|research.only", licence.lower()))


def is_known(licence: str) -> bool:
    """Return whether a licence's name says what it allows."""
    words = set(re.split(r"[^a-z0-9]+", licence.lower()))
    return is_non_commercial(licence) or bool(words & (_FREE | _SHARE_ALIKE | {"nd"}))


def most_restrictive(licences: Iterable[str]) -> str:
    """Return the licence that binds most; "" where none is known.

    Not for commercial use binds more than no derivatives, that more than share alike. Of
    equals the first is returned.
    """
    return max((licence for licence in licences if is_known(licence)), key=_restriction, default="")


def hub_id(licence: str) -> str:
    """Return the hub's identifier of a licence: ``other`` where it has none."""
    identifier = licence.strip().lower().replace(" ", "-")
    return identifier if identifier in HUB_IDS else "other"


def _restriction(licence: str) -> int:
    words = set(re.split(r"[^a-z0-9]+", licence.lower()))
    return 4 * is_non_commercial(licence) + 2 * ("nd" in words) + bool(words & _SHARE_ALIKE)
