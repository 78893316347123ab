"""FP8 block weights: e4m3 values with one power-of-two scale for each 128 x 128 block.

Where 128 does not divide the rows or the columns, all blocks along them share the largest scale: transformers, dequantising on load, takes
the block's size for rows / blocks (80 for 160 rows), and so finds the same values.

`quantise` makes what a checkpoint stores, `dequantise` what an engine multiplies with, and `fake_quantise` trains through both: its
value is exactly dequantise(quantise(w)), its gradient that of the identity.
"""

import torch
import torch.nn.functional as F

BLOCK = 128
LARGEST = 448.0


def _blocks(weight: torch.Tensor) -> torch.Tensor:
    """[..., R, C] to [..., R/128, 128, C/128, 128], padded with zeros."""
    rows, cols = weight.shape[-2:]
    padded = F.pad(weight, (0, -cols % BLOCK, 0, -rows % BLOCK))
    return padded.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))


def _scales(blocks: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """The least power of two s with amax / s <= 448, for each block: [..., R/128, 1, C/128, 1].

    The exponent is read from the bits, since log2 may round differently on two devices.
    """
    most = blocks.abs().amax(dim=(-3, -1), keepdim=True)
    if rows % BLOCK:
        most = most.amax(dim=-4, keepdim=True).expand_as(most)
    if cols % BLOCK:
        most = most.amax(dim=-2, keepdim=True).expand_as(most)
    least = most.clamp_min(1e-10) * (1.0 / LARGEST)
    bits = least.view(torch.int32)
    exponent = ((bits >> 23) & 0xFF) + ((bits & 0x7FFFFF) != 0).to(torch.int32)
    return (exponent << 23).view(torch.float32)


def _rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = _blocks(weight.float())
    scales = _scales(blocks, *weight.shape[-2:])
    return (blocks / scales).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn), scales


def _joined(blocks: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    return blocks.flatten(-2).flatten(-3, -2)[..., :rows, :cols]


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """weight [..., R, C] to e4m3 values [..., R, C] and multipliers float32 [..., ceil(R/128), ceil(C/128)]."""
    values, scales = _rounded(weight)
    # Slicing is done on the bytes: not every device has it for this type.
    bytes_ = _joined(values.view(torch.uint8), *weight.shape[-2:]).contiguous()
    return bytes_.view(torch.float8_e4m3fn), scales.flatten(-2).flatten(-3, -2).contiguous()


def dequantise(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The float32 weight that a checkpoint's two tensors stand for."""
    spread = scales.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
    return values.float() * spread[..., : values.shape[-2], : values.shape[-1]]


class _FakeQuantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight):
        values, scales = _rounded(weight)
        return _joined(values.float() * scales, *weight.shape[-2:])

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def fake_quantise(weight: torch.Tensor) -> torch.Tensor:
    return _FakeQuantise.apply(weight)
