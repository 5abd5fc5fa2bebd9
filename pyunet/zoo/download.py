"""Download one file, going on where an earlier try broke off.

pooch checks what it downloads, too, but starts anew each time.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.zoo.cache import sha256_of

if TYPE_CHECKING:
    import requests

LOG = logging.getLogger(__name__)
BLOCK = 1 << 16
TIMEOUT_S = 30.0
TRIES = 5
PARTIAL, BEYOND = 206, 416


def download(url: str, target: Path, *, sha256: str = "") -> Path:
    """Bring a file, with a progress bar on a terminal.

    What came before a connection broke is kept beside the target as ``NAME.part`` and
    gone on from, if the server still has the same file. Two processes must not do it
    at once, see `pyunet.zoo.cache.held`.

    Parameters
    ----------
    url : str
        http or https.
    target : Path
        What it becomes; its folder is made.
    sha256 : str
        What its checksum must be; default: anything.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    DataError
        No connection, a refusal, a connection that breaks off again and again, another
        checksum; nothing is left at the target then.
    """
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        _Resumed(url, part).bring(timeout_s=TIMEOUT_S)
        _tag_of(part).unlink(missing_ok=True)
        if sha256 and sha256_of(part) != sha256:
            part.unlink()
            raise DataError(
                f"{url}: what came has another checksum than the {sha256} that is "
                "known; it was not kept. A file that you trust is taken in by 'pyunet "
                "zoo add'"
            )
        part.replace(target)
    except (RequestException, HTTPError) as error:
        raise DataError(f"{url}: {_reason(error)}") from error
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(f"{target}: cannot be written: {what}") from error
    return target


class _Resumed:
    """One file on its way."""

    def __init__(self, url: str, part: Path) -> None:
        self.url, self.part, self.tag = url, part, _tag_of(part)

    def bring(self, *, timeout_s: float) -> None:
        """Try as long as more comes, a few times."""
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        for left in reversed(range(TRIES)):
            have = self._have
            try:
                if self._once(timeout_s):
                    return
            except RequestException:
                if not left or self._have <= have:
                    raise
            except HTTPError:  # while it came
                pass
            if not left or self._have <= have:
                break
            LOG.info("%s: broke off, going on from byte %d", self.url, self._have)
        raise DataError(
            f"{self.url}: broke off after {self._have} bytes; the same command goes on "
            "from there"
        )

    @property
    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _once(self, timeout_s: float) -> bool:
        """Ask for what is left; tell whether all of it came."""
        import requests

        # compressed on its way, a part would not fit the next
        headers = {"Accept-Encoding": "identity", **self._range()}
        with requests.get(
            self.url, headers=headers, stream=True, timeout=timeout_s
        ) as answer:
            if answer.status_code == BEYOND and "Range" in headers:
                self.part.unlink()
                return self._once(timeout_s)
            answer.raise_for_status()
            return self._keep(answer)

    def _range(self) -> dict[str, str]:
        """Ask for the rest, if the server can tell that it is of the same file."""
        if self._have and self.tag.is_file():
            return {
                "Range": f"bytes={self._have}-",
                "If-Range": self.tag.read_text(encoding="latin-1"),
            }
        return {}

    def _keep(self, answer: requests.Response) -> bool:
        said = answer.headers.get("Content-Range", f"bytes {self._have}-")
        more = answer.status_code == PARTIAL
        if more and not said.startswith(f"bytes {self._have}-"):
            raise DataError(f"{self.url}: sent '{said}' for all from {self._have} on")
        start = self._have if more else 0
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if tag and not tag.startswith("W/"):
            self.tag.write_text(tag, encoding="latin-1")
        else:
            self.tag.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        with (
            self.part.open("ab" if more else "wb") as file,
            tqdm(
                total=total, initial=start, desc=self.part.stem, unit="B",
                unit_scale=True, disable=None,
            ) as progress,
        ):  # fmt: skip
            for block in answer.raw.stream(BLOCK, decode_content=False):
                file.write(block)
                progress.update(len(block))
        return total is None or self._have >= total


def _tag_of(part: Path) -> Path:
    """Where it is kept which version of the file has come so far."""
    return part.with_name(f"{part.name}.tag")


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        answer = error.response
        return (
            f"the server answers {answer.status_code if answer is not None else error}"
        )
    if isinstance(error, requests.TooManyRedirects):
        return "the server sends from one address to the next without end"
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "expected http or https"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer within {TIMEOUT_S:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return "no connection; is there a network?"
    return " ".join(str(error).split())
