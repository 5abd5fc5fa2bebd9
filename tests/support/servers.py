"""Web servers that behave as bad ones do, on this machine."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Files by path, and how they are sent.

    Attributes
    ----------
    files : dict of str to bytes
    ranges : bool
        Parts can be asked for.
    breaks : list of int
        For one request after the other: the connection ends after so many bytes.
    pause_s : float
        Wait before every 1000 bytes.
    lengths : bool
        Say how long a file is.
    tag : str or None
        ETag of all files.
    redirects : dict of str to str
    requests : list of (str, str or None)
        Paths and ranges that were asked for.
    """

    def __init__(self, files=None, **settings):
        self.files = dict(files or {})
        self.ranges = True
        self.breaks = []
        self.pause_s = 0.0
        self.tag = '"one"'
        self.lengths = True
        self.redirects = {}
        self.requests = []
        self.url = ""
        vars(self).update(settings)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        site = self.server.site
        site.requests.append((self.path, self.headers.get("Range")))
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.end_headers()
        elif self.path in site.files:
            self._send(site, site.files[self.path])
        else:
            self.send_error(404)

    def _send(self, site, data):
        start = self._start(site, len(data))
        if start is None:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if site.tag:
            self.send_header("ETag", site.tag)
        rest = data[start:]
        if site.lengths:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        limit = site.breaks.pop(0) if site.breaks else len(rest)
        for at in range(0, min(limit, len(rest)), 1000):
            time.sleep(site.pause_s)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(rest[at : min(at + 1000, limit)])

    def _start(self, site, length):
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") == site.tag
        if not (site.ranges and wanted and same):
            return 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return start if start < length else None


@contextlib.contextmanager
def serve(site):
    """Serve a site as long as the block runs; its ``url`` is set."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = site
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
