"""Convolutions of waveform encoders, rewritten to be fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LongConvolution:
    """A padded, grouped convolution over frames by Fourier transform, in float32.

    The kernel spans 128 frames: on a CPU this takes a sixth of the time of the plain sum. The
    spectrum of the kernel stays in memory, about 150 MB for a base model.

    Parameters
    ----------
    conv : nn.Conv1d
        The convolution.
    """

    STEP = 512
    """The transform's length is a multiple of this, so that it rarely changes."""

    def __init__(self, conv: nn.Conv1d) -> None:
        self.conv = conv
        self.n = 0
        self.spectrum = torch.empty(0)

    def __call__(self, hidden: Tensor) -> Tensor:
        """The convolution of ``hidden`` (window, frame, unit), of the same shape and dtype."""
        windows, frames, units = hidden.shape
        groups, before = self.conv.groups, int(self.conv.padding[0])
        self._extend(frames + self.conv.kernel_size[0])
        spectrum = torch.fft.rfft(hidden.float().transpose(1, 2).contiguous(), self.n)
        spectrum = spectrum.view(windows, groups, units // groups, -1).permute(3, 1, 0, 2)
        product = spectrum.flatten(0, 1).bmm(self.spectrum)
        product = product.view(-1, groups, windows, units // groups).permute(2, 1, 3, 0)
        sums = torch.fft.irfft(product.reshape(windows, units, -1), self.n)
        # Frame t sums the frames from t - before on; of a circular sum those are at its end.
        out = torch.cat(
            [sums[..., self.n - before :], sums[..., : max(0, frames - before)]], dim=-1
        )
        out = out[..., :frames]
        if self.conv.bias is not None:
            out = out + self.conv.bias.float()[:, None]
        return out.transpose(1, 2).to(hidden.dtype)

    def _extend(self, n: int) -> None:
        """Makes the spectrum (frequency * group, input, output) long enough for ``n`` frames."""
        if n <= self.n:
            return
        self.n = -(-n // self.STEP) * self.STEP
        weight = self.conv.weight.float()
        spectrum = torch.fft.rfft(weight, self.n).conj()
        spectrum = spectrum.view(self.conv.groups, -1, *spectrum.shape[1:])
        self.spectrum = spectrum.permute(3, 0, 2, 1).flatten(0, 1).contiguous()


def fold_group_norm(sound: Tensor, conv: nn.Conv1d, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """A convolution followed by a group norm, as one convolution that is valid for this sound.

    Each channel is a group of its own: the norm brings the convolution's output to zero mean and
    unit variance over time. With frames x of ``kernel`` samples, the output is w'x, so its mean and
    variance are w'm and w'Cw, where m and C are the mean and covariance of the frames.

    Parameters
    ----------
    sound : Tensor
        (sample,).
    conv : nn.Conv1d
        A convolution with one input channel.
    norm : nn.GroupNorm
        The norm, with one group per channel.

    Returns
    -------
    weight : Tensor
        (channel, 1, kernel).
    bias : Tensor
        (channel,).
    """
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    frames = sound.double().unfold(0, kernel, stride)
    mean = frames.mean(dim=0)
    covariance = (frames - mean).T @ (frames - mean) / len(frames)
    weight = conv.weight[:, 0].double()
    variance = ((weight @ covariance) * weight).sum(dim=1)
    gain = norm.weight.double() / torch.sqrt(variance + norm.eps)
    # A bias of the convolution itself is removed with the mean.
    bias = norm.bias.double() - gain * (weight @ mean)
    folded = (gain[:, None] * weight)[:, None]
    return folded.to(conv.weight.dtype), bias.to(conv.weight.dtype)
