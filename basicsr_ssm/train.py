"""``basicsr-ssm train -opt FILE.yml``, or ``python basicsr_ssm/train.py -opt FILE.yml`` as BasicSR's plugins do it."""

import os
import sys

if __name__ == '__main__':
    # Run as a file: its folder is no place to import from (data, test, options …), the checkout is.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from basicsr_ssm.entry import add_run_arguments, run_pipeline

HELP = "train a network from an option file, through BasicSR's loop"


def add_arguments(parser):
    add_run_arguments(parser)
    parser.add_argument(
        '--auto_resume',
        action='store_true',
        help='go on from the newest checkpoint of this experiment or, before its first, from path.resume_state',
    )


def run(args):
    from basicsr_ssm.tables.training_curves import draw_at_end

    status = run_pipeline('train', args, at_end=draw_at_end)
    _log_peak_memory()
    return status


def _log_peak_memory():
    import torch
    from basicsr.utils import get_root_logger

    for index in range(torch.cuda.device_count()):
        peak = torch.cuda.max_memory_allocated(index) / 2**30
        if peak:
            get_root_logger().info(f'Peak GPU memory: {peak:.2f} GiB on {torch.cuda.get_device_name(index)} {index}')


if __name__ == '__main__':
    from basicsr_ssm.cli import main

    sys.exit(main(['train', *sys.argv[1:]]))
