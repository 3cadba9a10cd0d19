"""The program that fetches one shard, in a process of its own; see `_download`.

img2dataset reads a response to its end, whatever its length, so responses are bounded here: at
the top level, because the process that img2dataset spawns imports this module as well.
"""

import http.client
import json
import sys

MAX_BYTES = 64 * 2**20


class _Bounded(http.client.HTTPResponse):
    """A response that fails once it is longer than an image may be."""

    def read(self, amt: int | None = None) -> bytes:
        if amt is None and self.length is None:
            # No length is declared. Where one is, http.client checks that all of it arrives.
            amt = MAX_BYTES + 1
        content = b"" if (self.length or 0) > MAX_BYTES else super().read(amt)
        if max(self.length or 0, len(content)) > MAX_BYTES:
            raise OverflowError(f"more than {MAX_BYTES} bytes")
        return content


http.client.HTTPConnection.response_class = _Bounded

if __name__ == "__main__":
    from img2dataset import download

    download(**json.loads(sys.argv[1]))
