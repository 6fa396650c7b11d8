"""Writes a volume of 16-bit noise with tifffile: make_raw.py FILE.tif"""
import sys

import numpy as np
import tifffile

noise = np.random.default_rng(1).integers(0, 60000, (3, 90, 110), dtype=np.uint16)
tifffile.imwrite(sys.argv[1], noise, photometric="minisblack")
