"""``molspace serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molspace_cli import complete, options
from molspace_cli.console import print_json, print_path, say
from molspace_cli.groups import grouped
from molspace_cli.space_argument import named_space


@named_space
@grouped
def serve(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|EXPR|NAME|URI",
            autocompletion=complete.targets,
            help="What embeds.  [default: the bundle of an --index, else the last one made in this "
            "folder, or in the nearest above]",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        list[Path] | None,
        typer.Option(
            "--index",
            metavar="DIR",
            help="An index that the bundle made. Repeatable.  [default: the lab's sample items, "
            "if it has any]",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Where to listen. Other than this machine's own, a token is asked for.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one."),
    ] = 8765,
    token: Annotated[
        bool,
        typer.Option(
            "--token",
            help="Ask for a token on 127.0.0.1, too: other users of this machine reach it.",
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Another name by which browsers reach it, as behind a tunnel. Repeatable.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    *,
    running: options.InferOptions,
    as_json: options.Json = False,
) -> None:
    """Serve a page to try a space: type, drop files, move factors while results reorder.

    It ends with Ctrl-C. The address is printed on stdout, once the page is there.

    Examples:
      molspace serve
      molspace serve my-bundle --index my-index --open
      molspace serve my-bundle --index my-index --host 0.0.0.0 --port 9000
    """
    from reactions.serving.packages import check_packages

    check_packages()
    from reactions.search.index import SearchIndex
    from reactions.search.record import read_record
    from reactions.search.searcher import target_of
    from reactions.serving.bench import Bench
    from reactions.serving.run import access_of, address_of, bound
    from reactions.serving.run import serve as run
    from reactions.serving.samples import sample_index

    directories = index or []
    for directory in directories:
        read_record(directory)  # before anything is loaded
    listener = bound(host, port)
    access = access_of(host, allowed=allow_host or (), with_token=token)
    session = running.open(command="serve")
    if bundle is None and directories:
        target = target_of(session, directories[0])
    else:
        target = session.target(bundle, naming="molspace serve")
    parts = session.parts(target)
    indexes = [SearchIndex(directory, target) for directory in directories]
    if not indexes and (sample := sample_index(session, target, parts)) is not None:
        indexes = [sample]
    bench = Bench(session, target, indexes, parts=parts)
    address = address_of(host, listener, access)

    def ready() -> None:
        if not running.quiet:
            counts = "; ".join(
                ", ".join(f"{n:,} {m}" for m, n in index.counts.items()) for index in bench.indexes
            )
            lab = session.label(target)
            say(f"{target.name}" + (f"   lab: {lab}" if lab else ""))
            say(f"searches {counts}" if counts else "no index: similarities and classes alone")
            if access.token and host != "127.0.0.1":
                say("note: reached from other machines, over HTTP: the token is sent unencrypted")
            say("Ctrl-C ends it")
        if as_json:
            print_json("serve", {"address": address, "token": access.token or None})
        else:
            print_path(address)
        typer.get_text_stream("stdout").flush()
        if open_page:
            typer.launch(address)

    try:
        run(bench, access, listener, ready)
    except KeyboardInterrupt:  # how it is meant to end
        if not running.quiet:
            say("ended")
    finally:
        listener.close()
