"""TOML of unknown origin: refused before it costs memory or time."""

import subprocess
import sys
from pathlib import Path

import pytest
from lab_files import refused, write

from reactions.core.errors import DataError, MolspaceError, UsageError
from reactions.labs.lab_file import load_lab
from reactions.labs.toml_files import LIMIT_BYTES, MAX_DEPTH, read_toml

pytestmark = pytest.mark.usefixtures("own_folder")

DEEP = ".".join(["a"] * 50_000)

HOSTILE = {
    "dotted key": f"{DEEP} = 1",
    "header": f"[{DEEP}]",
    "list of tables": f"[[{DEEP}]]",
    "in an inline table": f"a = {{ {DEEP} = 1 }}",
    "with spaces": " . ".join(["a"] * 30_000) + " = 1",
    "with tabs": "\t.\t".join(["a"] * 30_000) + " = 1",
    "quoted": ".".join(['"a"'] * 25_000) + " = 1",
    "literal": ".".join(["'a b'"] * 15_000) + " = 1",
    "mixed": ".".join(["a", '"b.c"', "'d'"] * 9_000) + " = 1",
    "empty parts": ".".join(['""'] * 30_000) + " = 1",
    "after a comment": f"# \"\"\" '''\n{DEEP} = 1",
    "after a string with four quotes": f'a = [{{ b = """x"""", {DEEP} = "1" }}]',
    "after a string with five quotes": f'a = [{{ b = """x""""", {DEEP} = "1" }}]',
    "after a literal with four quotes": f"a = [{{ b = '''x'''', {DEEP} = '1' }}]",
    "after an escape": f'a = {{ b = "\\"", {DEEP} = "1" }}',
    "after an escaped backslash": f'a = {{ b = "\\\\", {DEEP} = "1" }}',
    "after lines": f'a = """\n"\n\\"""\n"""\n{DEEP} = 1',
    "nested lists": "a = " + "[" * 100_000,
    "closed nested lists": "a = " + "[" * 300 + "]" * 300,
    "nested tables": "a = " + "{a = " * 100_000,
    "long number": "seed = " + "9" * 100_000,
    "long hexadecimal": "[lab]\nseed = 0x" + "f" * 100_000,
    "long octal": "[lab]\nseed = 0o" + "7" * 100_000,
    "large number": "[lab]\nseed = 9223372036854775808",
    "number for a float": "[reaction]\nlearning_rate = 0x" + "f" * 1000,
    "odd date": "[lab]\nseed = 2000-99-99",
    "null in a path": '[corpora.text]\npath = "a\\u0000b"',
    "null in a key": '[spaces."a\\u0000b"]\npath = "x"',
    "never closed, often": 'a = """' + '\\"""' * 200_000,
    "never closed, then deep": f'a = "x\n{DEEP} = 1',
    "quotes": '"' * 500_000,
    "single quotes": "'" * 500_001,
    "a long word": "x" * 1_000_000,
    "words and blanks": "x " * 500_000,
    "a long text": f'[lab]\nname = "{"x" * 900_000}"',
    "a long value of a wrong kind": f"[lab]\nseed = [{'1,' * 400_000}]",
    "a long text of a wrong kind": f'[reaction]\ndtype = "{"float" * 100_000}"',
    "surrogate": '[lab]\nname = "\\ud800"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_toml_is_refused(name):
    write(HOSTILE[name])
    with pytest.raises(UsageError) as caught:
        load_lab("molspace.toml")
    assert len(str(caught.value)) < 1000


def test_the_worst_takes_little_memory(tmp_path):
    """Twice the limit of dotted keys took 8.5 GB; a process of 1 GB has to refuse all of them."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from reactions.core.errors import MolspaceError\n"
        "from reactions.labs.toml_files import read_toml\n"
        "for name in sys.argv[1:]:\n"
        "    try: read_toml(Path(name))\n"
        "    except MolspaceError: pass\n"
        "print('held')\n"
    )
    texts = {**HOSTILE, "sparse": ""}
    depth = ".".join(["a"] * MAX_DEPTH)
    texts["as deep as it goes"] = "".join(f"[b{i}.{depth[2:]}]\n" for i in range(20_000))
    for i, text in enumerate(texts.values()):
        write(text, f"{i}.toml")
    with Path(f"{len(texts) - 2}.toml").open("ab") as stream:
        stream.truncate(3 << 30)

    process = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / f"{i}.toml") for i in range(len(texts)))],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout == "held\n", process.stderr


def test_a_file_above_the_limit_is_refused():
    write("#" * LIMIT_BYTES)
    load_lab("molspace.toml")
    refused("#" * (LIMIT_BYTES + 1), "too large", DataError)


def test_what_only_looks_deep_is_read():
    dots = ".".join(["a"] * 40)
    text = (
        f'# {dots}\n[corpora.text]\npath = "{dots}"\nskip = ["{dots}", \'{dots}\']\n'
        f'[lab]\nlabel = """\n{dots}\n"""\n'
    )
    file = read_toml(write(text))
    assert file.data["corpora"]["text"]["path"] == dots
    assert file.raw == text.encode()


def test_a_byte_order_mark_and_other_line_breaks_are_read():
    Path("molspace.toml").write_bytes(b"\xef\xbb\xbf[lab]\r\nname = 'x'\r\n")
    assert load_lab("molspace.toml").name == "x"


@pytest.mark.parametrize("extends", ["~no-such-user/x", "x" * 5000, "a/" * 3000, "molspace.toml/x"])
def test_odd_names_of_labs_are_mistakes(extends):
    with pytest.raises(MolspaceError):
        load_lab(extends)
    write(f'[lab]\nextends = "{extends}"\n')
    with pytest.raises(MolspaceError):
        load_lab()
