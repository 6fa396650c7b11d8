#!/usr/bin/env python3
"""Reads a run's event files as TensorBoard does and prints what is in them as one JSON object.

usage: python3 read_events.py FOLDER
"""

import io
import json
import sys

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

multiplexer = EventMultiplexer().AddRunsFromDirectory(sys.argv[1]).Reload()
found = {}
for run in sorted(multiplexer.Runs()):
    found[run] = {}
    for tag in multiplexer.Runs()[run]["scalars"]:
        found[run][tag] = [[event.step, event.value] for event in multiplexer.Scalars(run, tag)]
    for tag in multiplexer.Runs()[run]["images"]:
        pictures = multiplexer.Images(run, tag)
        shapes = [np.asarray(Image.open(io.BytesIO(p.encoded_image_string))).shape for p in pictures]
        assert all(shape[:2] == (p.height, p.width) for shape, p in zip(shapes, pictures))
        found[run][tag] = [[p.step, *shape] for p, shape in zip(pictures, shapes)]
print(json.dumps(found))
