"""Plots as SVG, written by hand: bars() for programs side by side, lines() for how they take loss.

Plain text and rectangles on white, so that they look alike everywhere and differ little in a diff.
"""
from html import escape

WIDTH = 780
LEFT, RIGHT, TOP = 212, 90, 36          # of the drawing inside the picture
ROW, BAR, GAP = 24, 15, 26
DIGIT = 8                               # about the width of one, at the size of the figures
OURS, OTHERS, SECOND, INK, FAINT = "#0b7285", "#adb5bd", "#dee2e6", "#212529", "#868e96"
OURS_SECOND = "#66b2bf"
COLOURS = ["#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1971c2", "#846358", "#f08c00", "#495057",
           "#9c36b5", "#66a80f"]


class Bar:
    """@parts: one value, or two that are stacked. @mark: behind the figure."""

    def __init__(self, label, parts, ours=False, mark=""):
        self.label, self.parts, self.ours, self.mark = label, parts, ours, mark

    @property
    def total(self):
        return sum(self.parts)


class Panel:
    """@form: a figure to its words. @reference: (value, what it is), a dashed line."""

    def __init__(self, title, rows, form, reference=None):
        self.title, self.rows, self.form, self.reference = title, rows, form, reference

    @property
    def height(self):
        return TOP + ROW * len(self.rows) + GAP

    @property
    def top_value(self):
        values = [bar.total for bar in self.rows] + ([self.reference[0]] if self.reference else [])
        return max(values + [1e-9])


def text(x, y, words, anchor="start", colour=INK, more=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s"%s>%s</text>' % (
        x, y, anchor, colour, more, escape(words))


def picture(height, parts):
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
        'font-family="sans-serif" font-size="13">' % (WIDTH, height, WIDTH, height),
        '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>", ""])


def draw_bar(bar, y, scale, form, line):
    """@line: where the dashed line is, or None; figures keep clear of it."""
    x = LEFT
    colours = (OURS, OURS_SECOND) if bar.ours else (OTHERS, SECOND)
    weight = ' font-weight="bold"' if bar.ours else ""
    parts = [text(LEFT - 8, y + BAR - 3, bar.label, "end", more=weight)]
    for value, colour in zip(bar.parts, colours):
        parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>' % (
            x, y, max(value * scale, 0.5), BAR, colour))
        x += value * scale
    figure = form(bar.total) + bar.mark
    if line is not None and x - 4 < line < x + 14 + DIGIT * len(figure):
        x = max(x, line)
    parts.append(text(x + 6, y + BAR - 3, figure, more=weight))
    return parts


def draw_panel(panel, y):
    scale, x = (WIDTH - LEFT - RIGHT) / panel.top_value, None
    parts = [text(12, y + 20, panel.title, more=' font-weight="bold" font-size="14"')]
    if panel.reference:
        value, label = panel.reference
        x = LEFT + value * scale
        parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" '
                     'stroke-dasharray="3 3"/>' % (x, y + TOP - 6, x,
                                                   y + TOP + ROW * len(panel.rows), FAINT))
        parts.append(text(x, y + TOP + ROW * len(panel.rows) + 12, label, "middle", FAINT,
                          ' font-size="11"'))
    for number, bar in enumerate(panel.rows):
        parts += draw_bar(bar, y + TOP + number * ROW, scale, panel.form, x)
    return parts


def bars(panels):
    """Panels one below another."""
    parts, y = [], 0
    for panel in panels:
        parts += draw_panel(panel, y)
        y += panel.height
    return picture(y, parts)


def spread(wanted, distance, lowest):
    """Places close to the wanted ones, in their order, @distance apart, none beyond @lowest."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for before, index in zip(order, order[1:]):
        placed[index] = max(placed[index], placed[before] + distance)
    for index in reversed(order):
        placed[index] = min(placed[index], lowest)
        lowest = placed[index] - distance
    return placed


def lines(title, ticks, series, top, unit):
    """@ticks: names along x. @top: the highest value. @series: (label, values, some of them None,
    whether it is ours; None: a dashed line to compare with).
    """
    left, right, height, above = 60, 216, 420, 44
    bottom = height - 46

    def at(number, value):
        return (left + number * (WIDTH - left - right) / max(len(ticks) - 1, 1),
                bottom - (bottom - above) * value / top)

    parts = [text(12, 22, title, more=' font-weight="bold" font-size="14"')]
    for step in range(6):
        value = top * step / 5
        y = at(0, value)[1]
        parts.append('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"/>' % (
            left, y, WIDTH - right, y, "#e9ecef"))
        parts.append(text(left - 8, y + 4, "%.0f" % value, "end", FAINT))
    for number, name in enumerate(ticks):
        parts.append(text(at(number, 0)[0], bottom + 20, name, "middle", FAINT))
    parts.append(text(left, bottom + 38, unit, "start", FAINT, ' font-size="11"'))
    series = [(label, [(number, value) for number, value in enumerate(values) if value is not None],
               ours) for label, values, ours in series]
    series = [one for one in series if one[1]]
    places = spread([at(*values[-1])[1] for _, values, _ in series], 15, bottom + 4)
    colours = {None: iter([FAINT]), False: iter(COLOURS * 4), True: iter([OURS, OURS_SECOND] * 4)}
    for (label, values, ours), place in zip(series, places):
        colour = next(colours[ours])
        points = [at(*value) for value in values]
        parts += draw_line(points, colour, ours)
        # From the last point to its name, which may have had to make room or be further on.
        parts.append('<line x1="%.1f" y1="%.1f" x2="%d" y2="%.1f" stroke="%s" stroke-width="0.7" '
                     'stroke-opacity="0.6"/>' % (*points[-1], WIDTH - right + 10, place, colour))
        parts.append(text(WIDTH - right + 12, place + 4, label, "start", colour,
                          ' font-weight="bold"' if ours else ""))
    return picture(height, parts)


def draw_line(points, colour, ours):
    style = {None: 'stroke-width="1" stroke-dasharray="3 3"', False: 'stroke-width="1.8"',
             True: 'stroke-width="3.5"'}[ours]
    parts = ['<polyline points="%s" fill="none" stroke="%s" %s/>' % (
        " ".join("%.1f,%.1f" % point for point in points), colour, style)]
    if ours is not None:
        parts += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (*point, colour)
                  for point in points]
    return parts
