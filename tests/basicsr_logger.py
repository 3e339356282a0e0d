"""BasicSR opens its log file once per process, which tests of several runs cannot do with."""

import logging

from basicsr.utils import logger as basicsr_logger


def forget_log_file():
    """The next run opens a log file of its own."""
    basicsr_logger.initialized_logger.clear()
    logger = logging.getLogger('basicsr')
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
