"""A report's page as it is without scripts, figures and style."""

import re


def content_of(page: str) -> str:
    """Return a page without its scripts and their data, its style sheet and its drawings.

    Names stand bare: what keeps their letters' direction to themselves is left out too.
    """
    page = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"</?bdi>", "", page)
