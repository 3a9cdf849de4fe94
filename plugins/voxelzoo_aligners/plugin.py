"""Registers the linear aligners."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import AlignerSpec, hookimpl

_MODULE = "voxelzoo_aligners.linear"


@hookimpl
def zoo_register_aligners() -> Iterator[AlignerSpec]:
    """Lanczos, the field's default, and simpler aligners."""
    yield AlignerSpec(
        "lanczos",
        f"{_MODULE}:Lanczos",
        "Low-pass Lanczos filter, 3 lobes.",
        default_for=("clean", "antonello2023"),
    )
    yield AlignerSpec("sinc", f"{_MODULE}:Sinc", "Sinc low-pass filter, 3 lobes, no taper.")
    yield AlignerSpec("mean", f"{_MODULE}:Mean", "Mean of the states within each volume.")
    yield AlignerSpec("sum", f"{_MODULE}:Sum", "Sum of the states within each volume.")
    yield AlignerSpec("last", f"{_MODULE}:Last", "Latest state before the end of each volume.")
