"""What the Fiji plugin will find on this computer, or on one that it reaches over SSH.

Each family of checks is a module with functions that yield findings: fine, odd or
wrong, in plain words, with the line that mends it. Nothing is changed; files written
for a test are removed.
"""

from pyunet_fiji.doctor.examination import FAMILIES, Request, examine
from pyunet_fiji.doctor.findings import OK, PROBLEM, WARNING, Finding, summary

__all__ = [
    "FAMILIES",
    "OK",
    "PROBLEM",
    "WARNING",
    "Finding",
    "Request",
    "examine",
    "summary",
]
