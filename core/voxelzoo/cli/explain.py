"""``zoo explain``: the methods paragraph of a result, and its BibTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxelzoo.cli.output import print_json, print_line
from voxelzoo.cli.session import JsonOption, RegistryOption
from voxelzoo.host.zoo import open_zoo


def explain(
    result: Annotated[str, typer.Argument(help="A result's key, or how it begins.")],
    store: Annotated[
        Path, typer.Option(envvar="ZOO_STORE", help="The folder given to zoo run.")
    ] = Path("zoo-store"),
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Only the BibTeX entries.")] = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
) -> None:
    """Write the methods paragraph of a result from its own record, and the works it cites.

    Example:  zoo explain 3fa9 --bibtex > methods.bib
    """
    from voxelzoo.reports.explain import explain as explain_result
    from voxelzoo.store.store import open_store

    session = open_zoo(registry, None, False)
    opened = open_store(store)
    explanation = explain_result(opened.result(result), opened, session.host, session.catalogue)
    if as_json:
        print_json(explanation=explanation.record())
    elif bibtex:
        print_line(explanation.bibtex)
    else:
        print_line(explanation.paragraph)
        print_line()
        print_line(explanation.bibtex)
    if explanation.missing and not as_json:
        print_line(f"zoo: not known: {'; '.join(explanation.missing)}", error=True)
