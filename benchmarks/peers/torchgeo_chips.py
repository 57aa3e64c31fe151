"""Chips per second that torchgeo's random sampler reads from one raster, in this process.

    python torchgeo_chips.py RASTER SIDE_PX COUNT

Prints JSON. Runs in an environment with torchgeo (``make bench-peers``).
"""

import json
import sys
import time
import warnings

from torchgeo.datasets import RasterDataset
from torchgeo.samplers import RandomGeoSampler, Units

warnings.filterwarnings("ignore")
raster, side, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dataset = RasterDataset(paths=raster)
sampler = RandomGeoSampler(dataset, size=side, length=count, units=Units.PIXELS)
places = list(sampler)
dataset[places[0]]
begin = time.perf_counter()
for place in places:
    image = dataset[place]["image"]
seconds = time.perf_counter() - begin
print(
    json.dumps({"chips_s": count / seconds, "shape": list(image.shape), "dtype": str(image.dtype)})
)
