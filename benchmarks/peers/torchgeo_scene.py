"""torchgeo: grid sampler and data loader; it stitches nothing, so the usual numpy loop does."""

import numpy as np
import torch
from peer_network import (
    BATCH,
    CLASSES,
    OVERLAP_PX,
    RASTER,
    TILE_PX,
    polygons_by_shapes,
    timed,
    write_classes,
)
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler, Units


def run(network):
    """Segment the raster into a class raster and polygons."""
    dataset = RasterDataset(paths=str(RASTER))
    step = TILE_PX - OVERLAP_PX
    sampler = GridGeoSampler(dataset, size=TILE_PX, stride=step, units=Units.PIXELS)
    loader = DataLoader(dataset, sampler=sampler, batch_size=BATCH, collate_fn=stack_samples)
    x, y, _ = dataset.bounds
    res_x, res_y = dataset.res
    height, width = round((y.stop - y.start) / res_y), round((x.stop - x.start) / res_x)
    # Windows at the border reach beyond the raster: the sum has a margin of one tile.
    scores = np.zeros((CLASSES, height + 2 * TILE_PX, width + 2 * TILE_PX), np.float32)
    places = iter(sampler)
    for batch in loader:
        found = torch.softmax(network(batch["image"] / 255), dim=1).numpy()
        for one in found:
            px, py, _ = next(places)
            top = TILE_PX + round((y.stop - py.stop) / res_y)
            left = TILE_PX + round((px.start - x.start) / res_x)
            scores[:, top : top + TILE_PX, left : left + TILE_PX] += one
    write_classes(scores[:, TILE_PX:-TILE_PX, TILE_PX:-TILE_PX].argmax(axis=0))
    polygons_by_shapes()


timed(run)
