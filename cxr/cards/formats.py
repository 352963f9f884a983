"""A card's sections as Markdown and as text for a terminal; the desk's page has a template of its own."""

import textwrap
from collections.abc import Iterator, Sequence

from cxr.cards.blocks import Command, Paragraph, Pictures, Section, Table

WIDTH = 110  # columns of the terminal's text


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """A document; its figures stand in tables."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += ["\n".join(_markdown(block)) for block in _told(section)]
    return "\n\n".join(parts) + "\n"


def _told(section: Section) -> list[Paragraph | Table | Command]:
    """Without the pictures, which only a page can show."""
    return [block for block in section.blocks if not isinstance(block, Pictures)]


def _markdown(block: Paragraph | Table | Command) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield block.text
    elif isinstance(block, Command):
        yield f"    {block.text}"
    else:
        if block.caption:
            yield f"{block.caption}:\n"
        yield f"| {' | '.join(block.head)} |"
        yield f"|{'---|' * len(block.head)}"
        yield from (f"| {' | '.join(row)} |" for row in block.rows)


def to_text(title: str, sections: Sequence[Section]) -> str:
    """Lines of at most WIDTH columns, but for wide tables and commands."""
    parts = [f"{title}\n{'=' * len(title)}"]
    for section in sections:
        parts.append(f"{section.title}\n{'-' * len(section.title)}")
        parts += ["\n".join(_text(block)) for block in _told(section)]
    return "\n\n".join(parts)


def _text(block: Paragraph | Table | Command) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield from textwrap.wrap(block.text, WIDTH)
    elif isinstance(block, Command):
        yield f"    {block.text}"
    else:
        if block.caption:
            yield f"{block.caption}:"
        lines = [block.head, *block.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(block.head))]
        for line in lines if any(block.head) else block.rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
