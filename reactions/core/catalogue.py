"""Names to spaces: a catalogue that the language checks against and plans resolve with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.types import SpaceSpec

UriResolver = Callable[[str], SpaceSpec]
SpaceMaker = Callable[[], SpaceSpec]
"""Describes a space when it is first asked for: its weights may be missing, or large."""


class Catalogue:
    """The spaces a lab knows by name, and how to resolve a quoted URI.

    Args:
        specs: space name to spec, or to what describes it; that is called once at most.
        resolve_uri: called with the text between the quotes; raises MissingError when
            nothing can open it.
    """

    def __init__(
        self,
        specs: Mapping[str, SpaceSpec | SpaceMaker],
        resolve_uri: UriResolver | None = None,
    ) -> None:
        self._specs: dict[str, SpaceSpec | SpaceMaker] = dict(specs)
        self._resolve_uri = resolve_uri
        self._resolved: dict[str, SpaceSpec] = {}

    def names(self) -> tuple[str, ...]:
        """Return all registered names, in the order they were registered."""
        return tuple(self._specs)

    def __iter__(self) -> Iterator[SpaceSpec]:
        """Yield the spaces that are known without looking for weights, or are known by now."""
        return (spec for spec in self._specs.values() if isinstance(spec, SpaceSpec))

    def items(self) -> Iterator[tuple[str, SpaceSpec | SpaceMaker]]:
        """Yield names with what stands for them: to extend a lab."""
        return iter(self._specs.items())

    def extended(self, specs: Mapping[str, SpaceSpec | SpaceMaker]) -> Catalogue:
        """Return a catalogue with more spaces; one of a name that is known takes its place."""
        return Catalogue({**self._specs, **specs}, self._resolve_uri)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def by_name(self, name: str) -> SpaceSpec:
        """Return a registered space.

        Raises:
            UsageError: no space has this name; the fix names near ones.
            MissingError: its weights are not on this machine.
            DataError: its weights are not what they should be.
        """
        try:
            spec = self._specs[name]
        except KeyError:
            raise UsageError(
                f"unknown space '{name}'",
                fix=suggestion(name, self._specs, see="molspace spaces"),
                name=name,
                known=list(self._specs),
            ) from None
        if not isinstance(spec, SpaceSpec):
            spec = self._specs[name] = spec()
        return spec

    def by_uri(self, uri: str) -> SpaceSpec:
        """Return the space a quoted URI names; each URI is resolved once.

        Raises:
            MissingError: no adapter can open it.
            DataError: it was found, but is not a usable space.
        """
        if uri not in self._resolved:
            if self._resolve_uri is None:
                raise MissingError(f'cannot open the space "{uri}"', why="no adapter for URIs")
            self._resolved[uri] = self._resolve_uri(uri)
        return self._resolved[uri]
