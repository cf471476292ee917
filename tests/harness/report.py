"""Figures that the tests measured, as tables that a person can paste into `docs/`."""

from __future__ import annotations

from collections.abc import Sequence


class Report:
    """Tables by title, in the order in which they were begun."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Sequence[str], list[list[str]]]] = {}

    def row(self, title: str, columns: Sequence[str], *cells: object) -> None:
        """Adds a row to the table `title`, which it begins if need be."""
        rows = self._tables.setdefault(title, (columns, []))[1]
        rows.append([f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells])

    def markdown(self) -> str:
        """All tables."""
        parts = []
        for title, (columns, rows) in self._tables.items():
            lines = [f"### {title}", "", "| " + " | ".join(columns) + " |"]
            lines.append("|---" * len(columns) + "|")
            lines += ["| " + " | ".join(row) + " |" for row in rows]
            parts.append("\n".join(lines))
        return "\n\n".join(parts)


REPORT = Report()
