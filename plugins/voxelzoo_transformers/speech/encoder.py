"""What every speech encoder has: batches of windows, and the way through its blocks.

Only one hidden state is in memory at a time, and one frame of it is read. The last requested block
is computed at that frame alone: its keys and values need every frame, its query only one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from voxelzoo.api import AudioWindow
from voxelzoo_transformers.speech.windows import GPU_BATCH


@dataclass(frozen=True)
class SoundBatch:
    """Consecutive windows of sound."""

    span: Tensor
    """The sound that all windows lie in, (sample,), float32."""
    windows: Sequence[AudioWindow]
    """Where each window lies in ``span``."""
    endings: Sequence[Tensor]
    """Last samples of each window as they were heard at its end, if the recording is resampled.

    Resampling looks ahead: the same samples of ``span`` depend on sound after the window's end.
    """

    def __len__(self) -> int:
        return len(self.windows)

    def sound(self, i: int) -> Tensor:
        """The sound of one window.

        Parameters
        ----------
        i : int
            Which window.

        Returns
        -------
        Tensor
            (sample,), float32. It depends on nothing after the window's end.
        """
        window, ending = self.windows[i], self.endings[i]
        sound = self.span[window.start : window.stop]
        if not len(ending):
            return sound
        return torch.cat([sound[: self.n_shared(i)], ending[-len(sound) :]])

    def n_shared(self, i: int) -> int:
        """Samples at the beginning of a window that are the same as those of ``span``.

        Parameters
        ----------
        i : int
            Which window.

        Returns
        -------
        int
        """
        window = self.windows[i]
        return max(0, window.stop - window.start - len(self.endings[i]))


Block = Callable[[Tensor, Tensor | None], Tensor]
"""One transformer block: ``block(hidden, frame)``.

``hidden`` is (window, frame, unit). If ``frame`` (window,) is given, the block returns its output
at that frame of each window alone, (window, 1, unit); if it is None, at every frame.
"""


class SpeechEncoder(ABC):
    """A loaded network that hears windows of sound.

    A family overrides :meth:`embed` and :meth:`blocks`.

    Attributes
    ----------
    batch_size : int
        Windows that are prepared together and share what they have in common.
    block_batch_size : int
        Windows that go through the blocks together.
    equal_lengths : bool
        Whether windows of one batch must have the same length.
    """

    batch_size: int = 8
    block_batch_size: int = 2
    equal_lengths: bool = True

    @abstractmethod
    def embed(self, batch: SoundBatch) -> tuple[Tensor, Tensor]:
        """The input of the first block.

        Parameters
        ----------
        batch : SoundBatch
            Windows of sound.

        Returns
        -------
        hidden : Tensor
            Hidden state 0, (window, frame, unit).
        frame : Tensor
            The last frame of each window that sound reaches, (window,).
        """

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """The blocks in order; the last includes what the network does to its last hidden state."""

    def states(self, batch: SoundBatch, layers: Sequence[int]) -> Tensor:
        """States of layers at the last frame of each window.

        Parameters
        ----------
        batch : SoundBatch
            Windows of sound.
        layers : sequence of int
            0 is the input of the first block.

        Returns
        -------
        Tensor
            (layer, window, unit), layers in the requested order.
        """
        hidden, frame = self.embed(batch)
        size = self.block_batch_size
        parts = zip(hidden.split(size), frame.split(size), strict=True)
        return torch.cat([self._run_blocks(hidden, frame, layers) for hidden, frame in parts], 1)

    def _run_blocks(self, hidden: Tensor, frame: Tensor, layers: Sequence[int]) -> Tensor:
        deepest = max(layers)
        states = {0: at_frame(hidden, frame)[:, 0]}
        for layer, block in enumerate(self.blocks()[:deepest], start=1):
            if layer == deepest:
                states[layer] = block(hidden, frame)[:, 0]
            else:
                hidden = block(hidden, None)
                states[layer] = at_frame(hidden, frame)[:, 0]
        return torch.stack([states[layer] for layer in layers])

    def sized_for(self, device: str) -> Self:
        """Set batch sizes that suit the device.

        A CPU is fastest if a block's widest activations stay near its cache; a GPU needs more work.

        Parameters
        ----------
        device : str
            A torch device.

        Returns
        -------
        SpeechEncoder
            Itself.
        """
        if torch.device(device).type != "cpu":
            self.batch_size = self.block_batch_size = GPU_BATCH
        return self

    def limit_batches(self, size: int) -> None:
        """Make batches smaller.

        Parameters
        ----------
        size : int
            Most windows of a batch from now on.
        """
        self.batch_size = size
        self.block_batch_size = min(self.block_batch_size, size)


def at_frame(hidden: Tensor, frame: Tensor | None) -> Tensor:
    """One frame of each window.

    Parameters
    ----------
    hidden : Tensor
        (window, frame, unit).
    frame : Tensor or None
        Index of the frame, (window,).

    Returns
    -------
    Tensor
        (window, 1, unit), or all of ``hidden`` if ``frame`` is None.
    """
    if frame is None:
        return hidden
    return hidden[torch.arange(len(hidden), device=hidden.device), frame][:, None]
