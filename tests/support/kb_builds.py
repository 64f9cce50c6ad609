"""A folder with three categories, and the command that has a server describe them."""


def categories_in(folder, monkeypatch):
    """Work in a folder that has a list of three categories, without a key and not offline."""
    monkeypatch.chdir(folder)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MOLSPACE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    (folder / "animals.txt").write_text("cat\ndog\nwater snake\n")
    return folder


def build(server, *more, **options):
    """Return the arguments of ``molspace kb`` for nine requests to a server."""
    return (
        *("build", "--classes", "animals.txt", "--per-class", "12", "--batch", "4"),
        *("--generator", server.spec(seed=1, **options), *more),
    )
