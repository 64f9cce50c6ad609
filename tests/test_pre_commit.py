"""What runs before a commit is what `make lint` runs, which is what CI runs first."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def lint_commands() -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) :?\??= (\S+)$", makefile, re.MULTILINE))
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    commands = [line.strip() for line in recipe[1].splitlines()]
    return [re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], line) for line in commands]


def hooks() -> list[dict]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook for repo in config["repos"] if repo["repo"] == "local" for hook in repo["hooks"]]


def test_the_hooks_run_what_make_lint_runs():
    assert [hook["entry"] for hook in hooks()] == lint_commands()
    assert len(lint_commands()) == 3


def test_the_hooks_look_at_the_whole_tree_with_the_tools_of_the_test_extra():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in hooks():
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)
        for name in ("reactions/session.py", "pyproject.toml"):
            assert re.search(hook["files"], name)


def test_ci_lints():
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert any(re.match(r"make .*\blint\b", command) for command in commands)


def test_what_make_quick_and_the_halves_name_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    named = dict(re.findall(r"^(HALF|CONSISTENCY) := (.+)$", makefile, re.MULTILINE))
    paths = [*named["CONSISTENCY"].split(), *(f"tests/{name}" for name in named["HALF"].split())]
    assert [path for path in paths if not (ROOT / path).exists()] == []
