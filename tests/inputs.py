"""docs/inputs.md as what tests compare with: of each thing given, the line that is said."""

from tests.conftest import ROOT


def told(section: str) -> dict[str, str]:
    """Given -> now, of the table under a heading."""
    page = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    rows = page.partition(f"## {section}\n")[2].partition("\n## ")[0].split("\n| ")[2:]
    cells = [row.rstrip(" |\n").replace("\\|", "\0").split(" | ") for row in rows]
    return {cell[0].strip("`"): cell[1].strip("`").replace("\0", "|") for cell in cells}
