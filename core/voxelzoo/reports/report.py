"""What all reports share: JSON values, tables, and maps in a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelzoo.disk.files import written_whole
from voxelzoo.errors import NotFoundError, UsageError
from voxelzoo.text import listed

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Row = dict[str, Any]


class Report(ABC):
    """A report over results of a store."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """The report as JSON values, as ``--json`` prints it."""

    @property
    def maps(self) -> Mapping[str, NDArray[Any]]:
        """Values of each voxel (voxel,), by name; empty if the report has none."""
        return {}

    @property
    def tables(self) -> dict[str, list[Row]]:
        """The rows of each table of the report, by the table's name."""
        return {
            name: rows
            for name, rows in self.record().items()
            if isinstance(rows, list) and rows and isinstance(rows[0], dict)
        }

    def table(self, name: str) -> pd.DataFrame:
        """One table.

        Parameters
        ----------
        name : str
            One of :attr:`tables`.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        NotFoundError
            If the report has no such table.
        """
        import pandas as pd

        if name not in (tables := self.tables):
            raise NotFoundError(f"no table {name!r}; there are {listed(tables)}")
        return pd.DataFrame(tables[name])

    def _repr_html_(self) -> str:
        """Every table, for notebooks."""
        return "".join(
            f"<p><b>{name.replace('_', ' ')}</b></p>{self.table(name).to_html(index=False)}"
            for name in self.tables
        )


def check_npz(path: Path) -> None:
    """:class:`UsageError` unless ``path`` is an ``.npz`` file in a folder that exists."""
    if path.suffix != ".npz":
        raise UsageError(f"{path}: the file's name must end in .npz")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.absolute().parent}")


def save_npz(path: Path, maps: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an ``.npz`` file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file; one that exists is replaced.
    maps : mapping of str to array
        Arrays by name.
    """
    import numpy as np

    check_npz(path)
    with written_whole(path) as draft:
        np.savez(draft, **dict(maps))  # type: ignore[arg-type]
