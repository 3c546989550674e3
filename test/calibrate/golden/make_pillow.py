"""Writes pillow.json: a small picture and what Pillow's resize makes of it. Needs the package pillow.

    python test/calibrate/golden/make_pillow.py
"""

import json
import pathlib

import numpy as np
import PIL
from PIL import Image

HEIGHT, WIDTH = 7, 5
FILTERS = {
    "nearest": Image.NEAREST,
    "bilinear": Image.BILINEAR,
    "bicubic": Image.BICUBIC,
    "lanczos": Image.LANCZOS,
}

pixels = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
cases = [
    {
        "filter": name,
        "height": height,
        "width": width,
        "pixels": np.asarray(Image.fromarray(pixels).resize((width, height), number)).ravel().tolist(),
    }
    for name, number in FILTERS.items()
    for height, width in [(3, 2), (7, 11), (10, 3), (9, 8)]
]
golden = {"pillow": PIL.__version__, "height": HEIGHT, "width": WIDTH, "pixels": pixels.ravel().tolist(), "cases": cases}
(pathlib.Path(__file__).parent / "pillow.json").write_text(json.dumps(golden) + "\n")
