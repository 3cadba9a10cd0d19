"""Contact sheets: images of several sources side by side, a class per row."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

Columns = Mapping[str, Mapping[str, Sequence[Image.Image]]]

_MARGIN = 14
_GAP = 8


def contact_sheet(columns: Columns, tile: int = 48) -> Image.Image:
    """Return one picture of many small ones.

    Args:
        columns: Title to class name to images; every column has the same classes.
        tile: Side of an image on the sheet, in pixels.
    """
    names = list(next(iter(columns.values())))
    across = [max(len(images) for images in column.values()) for column in columns.values()]
    label_width = 8 * max(len(name) for name in names)
    width = label_width + sum(count * tile + _GAP for count in across)
    sheet = Image.new("RGB", (width, _MARGIN + len(names) * tile), "white")
    canvas = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        canvas.text((2, _MARGIN + row * tile + tile // 3), name, fill="black")
    left = label_width
    for (title, column), count in zip(columns.items(), across, strict=True):
        canvas.text((left, 0), title, fill="black")
        for row, name in enumerate(names):
            for place, image in enumerate(column[name]):
                resized = image.resize((tile, tile), Image.Resampling.NEAREST)
                sheet.paste(resized, (left + place * tile, _MARGIN + row * tile))
        left += count * tile + _GAP
    return sheet
