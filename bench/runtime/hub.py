"""Whether the Hugging Face Hub may be asked: by what fetches, and by nothing else.

Libraries ask it for files that are not in a folder, and whether there are newer ones. A run would
then depend on the network and on what is published that day.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_OFFLINE = "HF_HUB_OFFLINE"


def stay_offline() -> None:
    """Keep this process and those it starts from asking the Hub; call it before any import of it.

    ``fetching`` makes an exception.
    """
    os.environ[_OFFLINE] = "1"


@contextmanager
def fetching() -> Iterator[None]:
    """Let this process ask the Hub in the block, whatever the environment says."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
