"""segment-geospatial: tiff_to_tiff with the network as its function, then raster_to_vector."""

import numpy as np
import torch
from peer_network import OUT_GPKG, OUT_TIF, OVERLAP_PX, RASTER, TILE_PX, timed
from samgeo.common import raster_to_vector, tiff_to_tiff


def run(network):
    """Segment the raster into a class raster and polygons."""

    def label(image, **options):
        tile = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        return network(tile).argmax(dim=1)[0].to(torch.uint8).numpy()

    inner = TILE_PX - OVERLAP_PX
    tiff_to_tiff(
        str(RASTER), str(OUT_TIF), label, sample_size=(inner, inner), bound=OVERLAP_PX // 2
    )
    raster_to_vector(str(OUT_TIF), str(OUT_GPKG))


timed(run)
