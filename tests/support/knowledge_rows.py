"""Small knowledge bases for tests."""

from hypothesis import strategies as st

from reactions.knowledge.base import (
    PROVENANCES,
    DescribedCorpus,
    Description,
    KnowledgeMetadata,
    WriterModel,
)

ROWS = (
    Description("dog/0", "dog", "a dog in the rain", "LLM", model="m", prompt="p", seed=3),
    Description("dog/1", "dog", "two hounds run", "LLM"),
    Description("dog/name", "dog", "hound", "label"),
    Description("cat/0", "cat", "", "LLM"),
    Description("cat/1", "cat", "a cat on a wall", "human"),
    Description("x.png", "cat", "something furry", "MLLM", "image"),
    Description("x.png", "cat", "a kitten", "MLLM", "image"),
    Description("y.wav", "dog", "barking", "MLLM", "audio"),
)
METADATA = KnowledgeMetadata(
    dataset="pets",
    prompts=("p",),
    models=(WriterModel("m", "1", "MIT"),),
    token_limit=77,
    items={"image": DescribedCorpus("image", "ab" * 32)},
    dropped={"refused": 2},
)

_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() != ""
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Draw any row that can be looked up."""
    source = draw(st.sampled_from(PROVENANCES))
    modality = "" if source == "LLM" else draw(st.sampled_from(["image", "audio"]))
    if source in ("label", "human") and draw(st.booleans()):
        modality = ""
    seed = draw(st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1))
    return Description(
        draw(_NAME), draw(_NAME), draw(_TEXT), source, modality, draw(_TEXT), draw(_TEXT), seed
    )


metadata = st.builds(
    KnowledgeMetadata,
    dataset=_TEXT,
    prompts=st.lists(_TEXT, max_size=2).map(tuple),
    models=st.lists(st.builds(WriterModel, _NAME, _TEXT, _TEXT), max_size=2).map(tuple),
    token_limit=st.integers(1, 1000),
    items=st.dictionaries(_NAME, st.builds(DescribedCorpus, _TEXT, _TEXT), max_size=2),
    dropped=st.dictionaries(_TEXT, st.integers(1, 9), max_size=2),
)
