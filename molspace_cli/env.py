"""``molspace env``."""

from __future__ import annotations

from typing import Any

from molspace_cli import options
from molspace_cli.console import human_bytes, print_json, print_table, shortened


def env(lab: options.Lab = None, as_json: options.Json = False) -> None:
    """Print versions, the machine, settings and folders, for a bug report.

    Says for each setting where it comes from: an option, else a variable, else ./molspace.toml,
    else a default. Paste it as it is: it holds paths, and no keys or tokens.

    Examples:
      molspace env
      molspace env --json > env.json
    """
    from reactions.run import machine

    system, torch = machine.system_facts(), machine.torch_facts()
    lab_facts = _lab(lab)
    packages, variables, folders = machine.packages(), machine.variables(), machine.folders()
    if as_json:
        facts = {"torch": torch, "lab": lab_facts, "packages": packages}
        print_json("env", {**system, **facts, "variables": variables, "folders": folders})
        return
    cuda = f"CUDA {torch['cuda']}" if torch["cuda"] else "no CUDA"
    fast = "fast" if torch["fast_bfloat16"] else "not fast"
    memory = human_bytes(system["memory_bytes"]) if system["memory_bytes"] else "?"
    print_table(
        "molspace env",
        ("field", "value"),
        [
            ("molspace", f"{system['molspace']} ({system['installed']})"),
            ("python", system["python"]),
            ("system", system["system"]),
            ("cpu", f"{system['cpu']}, {system['cores']} cores, {memory}"),
            ("torch", f"{torch['version']}, {cuda}, {torch['threads']} threads"),
            ("arithmetic", f"{torch['cpu_capability']}, bfloat16 is {fast} on this CPU"),
            ("GPUs", ", ".join(torch["gpus"]) or "none"),
            ("lab", f"{shortened(lab_facts['path'])} ({lab_facts['from']})"),
            *(("", why) for why in filter(None, [lab_facts["problem"]])),
        ],
    )
    print_table(
        "variables that are set",
        ("variable", "value"),
        [(name, shortened(value)) for name, value in variables.items()],
    )
    print_table(
        "folders",
        ("for", "path", "there", "free"),
        [
            (
                name,
                shortened(folder["path"]),
                {True: "yes", False: "no", None: "?"}[folder["exists"]],
                "?" if folder["free_bytes"] is None else human_bytes(folder["free_bytes"]),
            )
            for name, folder in folders.items()
        ],
    )
    print_table(
        "packages",
        ("package", "version", "extras"),
        [
            (p["name"], p["version"] or "not installed", ", ".join(p["extras"]) or "-")
            for p in packages
        ],
    )


def _lab(name: str | None) -> dict[str, Any]:
    """Return the lab that commands take, why it is the one, and what is wrong with it."""
    from molspace_cli.opening import reason
    from reactions.core.errors import MolspaceError
    from reactions.labs.lab_file import find_lab, load_lab

    path, problem = name or "", ""
    try:
        path = str(find_lab(name))
        load_lab(name)
    except MolspaceError as error:
        problem = "; ".join(filter(None, (error.what, error.why, error.fix)))
    return {"path": path, "from": reason(name), "problem": problem}
