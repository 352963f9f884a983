"""The report of a film on one A4 page. Lengths are in points, from the page's lower left corner."""

import io
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from cxr import __version__
from cxr.desk.film_report import FilmReport
from cxr.desk.views import moment
from cxr.reading.report import DISCLAIMER

FONTS = Path(__file__).parent / "fonts"
PLAIN, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
INK, QUIET, LINE, BOX = HexColor("#14212b"), HexColor("#51616e"), HexColor("#d9e0e6"), HexColor("#05080b")
ACCENT, ABOVE, WASH = HexColor("#0d5f78"), HexColor("#9a3b06"), HexColor("#fdeee0")
NO_GLYPH = "▯"  # for letters that the font lacks, or that would need setting from right to left
RIGHT_TO_LEFT = range(0x0590, 0x0900)  # Hebrew to Arabic
MARGIN, GAP, LEADING = 40.0, 11.0, 1.32
MOST_REASONS = 3  # of the film check and notes on the file, for which there is room
MOST_VERDICT_LINES = 6
COMMENT_LINES = 3  # that are kept for comments, or to say how many there are
PICTURE = 196.0  # height of the two pictures
COLUMNS = (0.0, 176.0, 236.0, 300.0, 322.0, 392.0)  # where they begin; those of figures end there
HEADINGS = ("Finding", "Probability", "95 % interval", "Operating point", "Model", "Clinicians")
FIGURES = range(1, 4)
_one_at_a_time = threading.Lock()  # fonts keep what each document uses of them


def film_report_pdf(told: FilmReport) -> bytes:
    """PDF bytes of one page; equal for equal reports, `written_at` included."""
    out = io.BytesIO()
    with _one_at_a_time:
        _load_fonts()
        page = Page(Canvas(out, pagesize=A4, invariant=1, lang="en", pageCompression=1))
        _describe(page.canvas, told)
        _draw_head(page, told)
        _draw_pictures(page, told)
        _draw_findings(page, told)
        _draw_foot(page, told)
        _draw_remarks(page, told)
        page.canvas.save()
    return out.getvalue()


def _load_fonts() -> None:
    for name in {PLAIN, BOLD} - set(pdfmetrics.getRegisteredFontNames()):
        pdfmetrics.registerFont(TTFont(name, FONTS / f"{name}.ttf"))


def _describe(canvas: Canvas, told: FilmReport) -> None:
    """What viewers and screen readers know of the document."""
    written = datetime.fromtimestamp(told.written_at, UTC)
    canvas.setTitle(f"Report of the chest film {told.film.name}")
    canvas.setSubject(DISCLAIMER)
    canvas.setAuthor("")
    canvas.setCreator(f"cxr {__version__}")
    canvas.setDateFormatter(lambda *_: f"D:{written:%Y%m%d%H%M%S}+00'00'")
    canvas.setViewerPreference("DisplayDocTitle", "true")


class Page:
    """A canvas that is filled from above; `y` is where the next line may begin, `floor` where it must end."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.width = A4[0] - 2 * MARGIN
        self.y, self.floor = A4[1] - MARGIN, MARGIN

    def room(self, size: float) -> int:
        """How many lines of this size are left."""
        return max(0, int((self.y - self.floor) / (size * LEADING)))

    def write(self, text: str, size: float, font: str = PLAIN, colour: Color = INK, most: int = 1) -> None:
        """At most `most` lines over the whole width, the last one cut with an ellipsis."""
        for line in _lines(text, font, size, self.width, most):
            self.y -= size * LEADING
            self.put(line, 0, size, font, colour)

    def put(self, text: str, x: float, size: float, font: str = PLAIN, colour: Color = INK, end: bool = False) -> None:
        """One line of text at the present height, from `x` on, or up to it."""
        self.canvas.setFont(font, size)
        self.canvas.setFillColor(colour)
        draw = self.canvas.drawRightString if end else self.canvas.drawString
        draw(MARGIN + x, self.y, settable(text, font))

    def rule(self, colour: Color = LINE) -> None:
        self.canvas.setStrokeColor(colour)
        self.canvas.setLineWidth(0.6)
        self.canvas.line(MARGIN, self.y, MARGIN + self.width, self.y)


def settable(text: str, font: str = PLAIN) -> str:
    """The text with `NO_GLYPH` for each letter that cannot be set; accents become part of their letters (NFC)."""
    known = pdfmetrics.getFont(font).face.charToGlyph
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if ord(c) in known and ord(c) not in RIGHT_TO_LEFT else NO_GLYPH for c in composed)


def _lines(text: str, font: str, size: float, width: float, most: int) -> list[str]:
    """The text broken into lines; the last of `most` is cut with an ellipsis."""
    lines = [line for part in text.split("\n") for line in _broken(part, font, size, width)]
    return lines if len(lines) <= most else [*lines[: most - 1], _cut(lines[most - 1] + " …", font, size, width)]


def _broken(text: str, font: str, size: float, width: float) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if _length(longer, font, size) <= width:
            line = longer
            continue
        if line:
            yield line
        while _length(word, font, size) > width:  # a word longer than a line
            fits = max(1, int(len(word) * width / _length(word, font, size)) - 1)
            yield word[:fits]
            word = word[fits:]
        line = word
    yield line


def _cut(text: str, font: str, size: float, width: float) -> str:
    """Without its end, if it is longer than the width."""
    while _length(text, font, size) > width:
        text = text[:-3] + "…"
    return text


def _length(text: str, font: str, size: float) -> float:
    return float(pdfmetrics.stringWidth(settable(text, font), font, size))


def _draw_head(page: Page, told: FilmReport) -> None:
    page.y -= 17
    page.put("Report of a chest film", 0, 17, BOLD)
    page.put(f"cxr reading desk · {moment(told.written_at)}", page.width, 8, PLAIN, QUIET, end=True)
    page.y -= 2
    page.write(told.film.name, 11, BOLD, most=2)
    page.write(f"{told.report.model.title} · {told.about}", 7.5, PLAIN, QUIET)
    page.y -= 7
    page.rule()


def _draw_pictures(page: Page, told: FilmReport) -> None:
    width = (page.width - GAP) / 2
    page.y -= GAP + PICTURE
    for number, jpeg in enumerate((told.film_jpeg, told.overlay_jpeg)):
        x = MARGIN + number * (width + GAP)
        page.canvas.setFillColor(BOX)
        page.canvas.roundRect(x, page.y, width, PICTURE, 4, stroke=0, fill=1)
        page.canvas.drawImage(
            ImageReader(io.BytesIO(jpeg)), x, page.y, width, PICTURE, preserveAspectRatio=True, anchor="c"
        )
    page.y -= 11
    page.put("The film, brightness as uploaded", 0, 7.5, PLAIN, QUIET)
    caption = f"Heat map: {told.shown.title} ({told.report.model.maps_title}). Not an outline of a disease."
    page.put(_cut(caption, PLAIN, 7.5, width), width + GAP, 7.5, PLAIN, QUIET)


def _draw_findings(page: Page, told: FilmReport) -> None:
    alarms = {finding.title for finding in told.report.alarms()}
    page.y -= 24
    page.put(told.report.headline(), 0, 12, BOLD, ABOVE if alarms else INK)
    page.y -= 17
    _draw_row(page, HEADINGS, 7.5, PLAIN, QUIET)
    page.y -= 4
    page.rule(QUIET)
    for row in told.rows:
        above = row[0] in alarms
        page.y -= 12.4
        if above:
            page.canvas.setFillColor(WASH)
            page.canvas.rect(MARGIN - 4, page.y - 3.4, page.width + 8, 12.2, stroke=0, fill=1)
        _draw_row(page, row, 8.2, BOLD if above else PLAIN, ABOVE if above else INK)
    page.y -= 6
    page.rule()


def _draw_row(page: Page, cells: Sequence[str], size: float, font: str, colour: Color) -> None:
    """Figures end where their column does; the clinicians' words are nobody's alarm."""
    for number, (x, cell) in enumerate(zip(COLUMNS, cells, strict=True)):
        last = number == len(COLUMNS) - 1
        if last:
            font, colour, cell = PLAIN, QUIET if cell in HEADINGS else INK, _cut(cell, PLAIN, size, page.width - x)
        page.put(cell, x, size, font, colour, end=number in FIGURES)


def _draw_foot(page: Page, told: FilmReport) -> None:
    """From below: what is said last is always there."""
    y, page.y = page.y, MARGIN + 58.0
    page.floor = page.y + 8
    page.rule()
    page.y -= 2
    for line in told.model:
        page.write(line, 7, PLAIN, QUIET)
    page.y -= 7
    page.write(DISCLAIMER, 8.5, BOLD, ACCENT)
    page.y = y


def _draw_remarks(page: Page, told: FilmReport) -> None:
    """The film check, who gave which verdict, then comments as long as there is room; how many more is said."""
    page.y -= 8
    page.write("Film check", 8.2, BOLD)
    for text in told.check[:MOST_REASONS]:
        page.write(text, 8, most=2)
    if len(told.check) > MOST_REASONS:
        page.write(f"… {len(told.check) - MOST_REASONS} more on the film’s page", 8)
    page.y -= 5
    if told.verdicts:
        page.write("Clinicians’ verdicts", 8.2, BOLD)
        most = min(MOST_VERDICT_LINES, page.room(8) - COMMENT_LINES)
        page.write("\n".join(told.verdicts), 8, most=max(1, most))
        page.y -= 5
    _draw_comments(page, told)


def _draw_comments(page: Page, told: FilmReport) -> None:
    comments = told.comments
    page.write("Clinicians’ comments" if comments else "No clinician’s comment", 8.2, BOLD if comments else PLAIN)
    for number, (head, text) in enumerate(comments):
        left = page.room(8) - 1  # one line is kept to say that there is more
        if left < 2:
            page.write(f"… {len(comments) - number} more in the JSON: /api/v1/films/{told.film.id}/answers", 8)
            return
        page.y -= 2
        page.write(head, 7.5, PLAIN, QUIET)
        page.write(text, 8, most=min(3, left - 1))
