"""Tokens of windows in the memory of feature maps, as `basicsr_ssm.ops.windows` orders them."""

import triton
import triton.language as tl


@triton.jit
def pixel_of(token, height, width, down, across, SIZE: tl.constexpr):
    """Image, row and column of tokens, and whether they are in the map; down, across: windows of an image."""
    window, inside = token // (SIZE * SIZE), token % (SIZE * SIZE)
    image, place = window // (down * across), window % (down * across)
    row = place // across * SIZE + inside // SIZE
    column = place % across * SIZE + inside % SIZE
    return image, row, column, (row < height) & (column < width)
