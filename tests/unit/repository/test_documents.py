"""What the documents point at is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT, capture_output=True, check=True, timeout=60, text=True,
)  # fmt: skip
DOCUMENTS = [ROOT / name for name in LISTED.stdout.split("\0") if name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert missing == []


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    decisions = {file.name for file in (ROOT / "docs/adr").glob("[0-9]*.md")}
    assert {name for name in decisions if f"({name})" not in index} == set()
    numbers = [name[:4] for name in decisions]
    assert len(numbers) == len(set(numbers))


def test_every_row_of_the_crash_table_names_tests_that_exist() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    table = text.partition("### After a crash")[2].partition("\n\nWhat is concluded")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| journal")]
    written = "".join(file.read_text() for file in (ROOT / "tests/integration/bridge").glob("test_*.py"))
    assert len(rows) >= 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rpartition("| `test_")[1] + row.rpartition("| `test_")[2])
        assert named, row
        assert [name for name in named if f"def {name}(" not in written] == []
