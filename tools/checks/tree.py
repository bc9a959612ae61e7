"""Nothing stands in the tree that must not: addresses of package indexes, secrets, paths of one machine, long files."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
MAX_TEST_LINES = 600
MAX_BYTES = 2 * 1024 * 1024

# Written in pieces, so that this file does not match itself.
_INDEX_HOSTS = "|".join(
    re.escape(".".join(parts))
    for parts in (
        ("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"), ("registry", "yarnpkg", "com"),
        ("npmmirror", "com"), ("deb", "debian", "org"), ("proxy", "golang", "org"),
    )
)  # fmt: skip
#: What must not stand in any file, and why.
EVERYWHERE = {
    rf"(?i)\b({_INDEX_HOSTS})\b": "the address of a package index",
    r"(?i)https?://[^\s\"']*/" + r"simple(/|\b)": "the address of a package index",
    r"(?i)(--(extra-)?index-" + r"url|\bindex[_-]" + r"url\s*=|PIP_INDEX_" + r"URL)": "the choice of a package index",
    r"(?<![\w.~/-])/(work|home/(?!pi/|user/)\w+|Users/\w+)" + r"/": "a path of one machine",
    r"\.\./" + r"shared/": "a path outside of the repository",
}
#: What must not stand outside of the tests, which make up their own.
OUTSIDE_TESTS = {
    r"-----BEGIN [A-Z ]*PRIVATE" + r" KEY-----\s+[A-Za-z0-9+/=]{16}": "a private key",
    r"\bey" + r"J[A-Za-z0-9_-]{8,}\.ey" + r"J[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}": "a token",
    r"\bfx[a-z]_(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{24,}": "a token of ours",
    r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abprs]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9]{32,})": "a token",
}
_NAMES_REFUSED = re.compile(
    r"(^|/)(\.env(\.[^/]*)?(?<!\.example)|uv\.lock|id_[a-z0-9]+|[^/]*\.(pem|key|p12|pyc|sqlite3?))$"
)


def findings(root: Path) -> Iterator[str]:
    """Every fault of every file that git knows or would add, as `path:line: what`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    for name in sorted(set(listed.stdout.decode().split("\0")) - {""}):
        file = root / name
        if file.is_file() and not file.is_symlink():
            yield from (f"{name}{fault}" for fault in faults_of(name, file.read_bytes()))


def faults_of(name: str, content: bytes) -> Iterator[str]:
    """The faults of one file, as `:line: what`."""
    if _NAMES_REFUSED.search(name):
        yield ": a file of this name does not belong into git"
    if len(content) > MAX_BYTES:
        yield f": larger than {MAX_BYTES} bytes"
    if b"\0" in content:
        return
    text = content.decode("utf-8", "replace")
    in_tests = name.startswith("tests/")
    for pattern, what in (EVERYWHERE if in_tests else {**EVERYWHERE, **OUTSIDE_TESTS}).items():
        for match in re.finditer(pattern, text):
            if what == "a token of ours" and "example" in text[max(0, match.start() - 120) : match.start()].lower():
                continue  # the API's documentation shows what one looks like
            yield f":{text.count(chr(10), 0, match.start()) + 1}: {what}"
    lines, most = text.count("\n"), MAX_TEST_LINES if in_tests else MAX_LINES
    if name.endswith(".py") and lines > most:
        yield f":{lines}: more than {most} lines: split it by what the parts are about"


if __name__ == "__main__":
    found = list(findings(ROOT))
    if found:
        sys.exit("\n".join(found))
