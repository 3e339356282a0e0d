"""The one base class for mistakes that the user can mend."""


class UserError(Exception):
    """Bad input, options or environment: the message says what is wrong and where, and needs no traceback.

    The command line prints it as ``error: …`` and exits with status 2.
    """
