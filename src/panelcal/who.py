"""Who is asking, for the record."""

import getpass

from panelcal.domain.text import one_line
from panelcal.errors import InvalidInputError


def current_user() -> str:
    """Return the login of whoever runs this process.

    Raises
    ------
    InvalidInputError
        The system does not say.
    """
    try:
        return one_line(getpass.getuser(), "user name")
    except (KeyError, OSError) as error:
        msg = "the system does not say who you are"
        raise InvalidInputError(msg, "set LOGNAME") from error
