"""Pictures pixel by pixel."""

from types import SimpleNamespace

import numpy as np

from tf_spot.visualization import pictures

LEFT, GAP, SIZE = pictures._LABEL_WIDTH, pictures._GAP, pictures._SMALLEST


def test_a_grid_has_a_row_a_label_and_enlarges_cells_to_squares():
    images = np.stack([np.full((64, 64, 3), level, np.float32) for level in (-1.0, 0.0, 1.0)])
    masks = np.tile(np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32)[None, :, :, None], (3, 1, 1, 1))
    grid = pictures.grid({"images": images, "mask": masks})
    assert grid.shape == (2 * (SIZE + GAP), LEFT + 3 * (SIZE + GAP), 3) and grid.dtype == np.uint8
    middles = [grid[SIZE // 2, LEFT + i * (SIZE + GAP) + SIZE // 2].tolist() for i in range(3)]
    assert middles == [[0] * 3, [128] * 3, [255] * 3]
    mask = grid[SIZE + GAP : 2 * SIZE + GAP, LEFT : LEFT + SIZE, 0]
    half = SIZE // 2
    assert (mask[:half, :half] == 255).all() and (mask[half:, half:] == 255).all()
    assert (mask[:half, half:] == 0).all() and (mask[half:, :half] == 0).all()
    assert (grid[:SIZE, :LEFT] < 128).any(), "the label is drawn"


def test_filters_are_each_stretched_to_their_own_range_sixteen_a_row():
    kernels = np.zeros((3, 3, 3, 20), np.float32)
    kernels[..., 1] = 5.0
    kernels[0, 0, 0, 1], kernels[2, 2, 2, 1] = 4.0, 6.0
    picture = pictures.conv1_filters(SimpleNamespace(first_conv=SimpleNamespace(kernel=kernels)))
    tile = 8 * 3 + GAP
    assert picture.shape == (2 * tile, 16 * tile, 3)
    second = picture[:tile, tile : 2 * tile]
    assert second[0, 0].tolist() == [0, 128, 128] and second[23, 23].tolist() == [128, 128, 255]
    assert (picture[tile:, 4 * tile :] == 255).all(), "empty places are white"
