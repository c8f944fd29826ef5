"""The cheat sheet on one sheet of A4, made of the table on its page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF
from fpdf.fonts import FontFace

__all__ = ["printed", "table_rows"]

TASK, WRITTEN = 50, 88
"""Widths of the columns, in millimetres; two pairs of them stand side by side on a sheet of 297 by 210."""


def table_rows(page: str) -> list[tuple[str, str]]:
    """The rows of the page's table, without its head: what to do, and what to write, which is empty at a heading."""
    rows = re.findall(r"^\| (.*?) \| (.*?) ?\|$", page, flags=re.MULTILINE)
    return [(task.replace("**", ""), written.replace("`", "")) for task, written in rows[1:]]


def printed(page: Path) -> bytes:
    """The sheet as a PDF, the same bytes at each build.

    Raises
    ------
    ValueError
        If the table has become too long for one sheet.
    """
    rows = table_rows(page.read_text())
    sheet = FPDF(orientation="landscape", format="A4")
    sheet.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))
    sheet.set_title("bayesmdp: cheat sheet")
    sheet.set_margins(9, 8, 9)
    sheet.set_auto_page_break(False)
    sheet.add_page()
    sheet.set_font("helvetica", "B", 13)
    sheet.cell(0, 8, "bayesmdp: cheat sheet      import bayesmdp as bm", new_x="LMARGIN", new_y="NEXT")
    top = sheet.get_y()
    # The right half begins at a heading, so that no block is torn.
    headings = [number for number, (_, written) in enumerate(rows) if not written]
    middle = min(headings, key=lambda number: abs(number - len(rows) / 2))
    for half, left in ((rows[:middle], 9.0), (rows[middle:], 9.0 + TASK + WRITTEN + 3)):
        sheet.set_xy(left, top)
        sheet.set_left_margin(left)
        _half(sheet, half)
        if sheet.get_y() > sheet.h - 6:
            raise ValueError(f"{page.name} ends at {sheet.get_y():.0f} mm of {sheet.h:.0f}: shorten its table")
    return bytes(sheet.output())


def _half(sheet: FPDF, rows: list[tuple[str, str]]) -> None:
    """The rows as a table at the left margin."""
    sheet.set_font("helvetica", size=8)
    heading, code = FontFace(emphasis="BOLD", fill_color=(230, 236, 243)), FontFace(family="courier", size_pt=7)
    with sheet.table(
        width=TASK + WRITTEN,
        col_widths=(TASK, WRITTEN),
        align="LEFT",
        first_row_as_headings=False,
        borders_layout="HORIZONTAL_LINES",
        line_height=4.4,
        padding=1.2,
        text_align="LEFT",
    ) as table:
        for task, written in rows:
            row = table.row()
            if written:
                row.cell(task)
                row.cell(written, style=code)
            else:
                row.cell(task, colspan=2, style=heading)
