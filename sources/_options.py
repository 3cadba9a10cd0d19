"""Types of options that several sources share."""

from typing import Annotated, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Suffix = Literal[".png", ".jpg"]
