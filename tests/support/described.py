"""Knowledge bases of a few classes, in memory."""

from reactions.knowledge.base import LABEL, LLM, Description, KnowledgeTable


def knowledge(classes, n=8, names=None, name="pets", few=None):
    """Describe classes.

    Args:
        classes: category to use; rows are distinct sentences.
        n: sentences a class.
        names: class to its synonyms.
        name: of the knowledge base.
        few: class to a number of sentences of its own.
    """
    rows = []
    for category in classes:
        for i in range((few or {}).get(category, n)):
            text = f"{category}, seen for the {i}th time"
            rows.append(Description(f"{category}/{i}", category, text, LLM))
        for i, class_name in enumerate((names or {}).get(category, ())):
            rows.append(Description(f"{category}/name/{i}", category, class_name, LABEL))
    return KnowledgeTable(name, rows)
