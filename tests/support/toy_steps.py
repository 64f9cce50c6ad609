"""Steps that do what a test says: a class for each kind, whose fields are given freely."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reactions.core.step import NOT_IN_KEY, Cost, Step, entering, inputs_from
from reactions.core.types import Corpus, SpaceSpec
from reactions.steps import assemble, centre, collect, embed, fit_map, quality, score, train

VERSIONS = {
    own.KIND: own.VERSION
    for module in (assemble, centre, collect, embed, fit_map, quality, score, train)
    for own in vars(module).values()
    if isinstance(own, type) and issubclass(own, Step) and hasattr(own, "KIND")
}
"""Those of the library's own steps, by kind."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Toy(Step):
    label: str = field(metadata=NOT_IN_KEY)
    params: dict = field(metadata=entering(""))
    sources: dict = field(metadata=inputs_from())
    make: Callable = field(metadata=NOT_IN_KEY)
    make_together: Callable | None = field(default=None, metadata=NOT_IN_KEY)
    n_rows: int | None = field(default=None, metadata=NOT_IN_KEY)
    shard_rows: int = field(default=0, metadata=NOT_IN_KEY)
    cost: Cost = field(default=Cost(), metadata=NOT_IN_KEY)
    shares: str = field(default="", metadata=NOT_IN_KEY)
    together: str = field(default="", metadata=NOT_IN_KEY)
    space: SpaceSpec | None = field(default=None, metadata=NOT_IN_KEY)
    corpus: Corpus | None = field(default=None, metadata=NOT_IN_KEY)

    def run(self, context, inputs, start, stop):
        return self.make(context, inputs, start, stop)

    @classmethod
    def run_together(cls, context, steps, inputs, start, stop):
        return steps[0].make_together(context, inputs, start, stop)


KINDS = {
    kind: type(f"Toy_{kind}", (Toy,), {"KIND": kind, "VERSION": version, "__module__": __name__})
    for kind, version in VERSIONS.items()
}
globals().update({own.__name__: own for own in KINDS.values()})


def make_step(kind, label, params, inputs, run, **options):
    """Return a step of a kind with these parameters and inputs; see ``Toy`` for the rest."""
    return KINDS[kind](label=label, params=dict(params), sources=dict(inputs), make=run, **options)
