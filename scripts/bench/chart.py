"""One picture a scenario: how long reads took (a distribution), and bytes over time, every subject in it. Plain SVG."""
import html
import math

WIDTH, HEIGHT = 1100, 430
LEFT = (70, 70, 450, 280)  # x, y, width, height of the distribution's area
RIGHT = (620, 70, 450, 280)  # of throughput over time
COLOURS = ("#0b6e99", "#d9730d", "#0f7b6c", "#ad1a72", "#6940a5", "#64473a")


class Axes:
    def __init__(self, area, x_range, y_range, log_x=False):
        self.area, self.x_range, self.y_range, self.log_x = area, x_range, y_range, log_x

    def x(self, value):
        low, high = self.x_range
        if self.log_x:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self.area[0] + (value - low) / (high - low) * self.area[2]

    def y(self, value):
        low, high = self.y_range
        return self.area[1] + self.area[3] * (1 - (value - low) / (high - low))

    def path(self, points, colour):
        data = " ".join(f"{'M' if k == 0 else 'L'}{self.x(x):.1f},{self.y(y):.1f}" for k, (x, y) in enumerate(points))
        return f'<path d="{data}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"/>'

    def frame(self, x_ticks, y_ticks, x_label, y_label):
        x0, y0, width, height = self.area
        parts = []
        for value, text in x_ticks:
            at = self.x(value)
            parts.append(f'<line x1="{at:.1f}" y1="{y0}" x2="{at:.1f}" y2="{y0 + height}" class="grid"/>')
            parts.append(label(at, y0 + height + 18, text, "middle"))
        for value, text in y_ticks:
            at = self.y(value)
            parts.append(f'<line x1="{x0}" y1="{at:.1f}" x2="{x0 + width}" y2="{at:.1f}" class="grid"/>')
            parts.append(label(x0 - 8, at + 4, text, "end"))
        parts.append(label(x0 + width / 2, y0 + height + 40, x_label, "middle"))
        parts.append(label(x0, y0 - 12, y_label, "start"))
        return parts


def label(x, y, text, anchor, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(str(text))}</text>'


def seconds(value):
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms" if value >= 0.001 else f"{value * 1e6:g} us"


def nice_step(highest, count=5):
    """A step of 1, 2 or 5 times a power of ten, with about `count` of them up to `highest`."""
    raw = max(highest, 1e-9) / count
    power = 10 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


def linear_ticks(highest):
    step = nice_step(highest)
    return [(k * step, f"{k * step:g}") for k in range(int(highest / step) + 1)]


def distribution(series):
    """Cumulative share of reads over latency, logarithmic."""
    values = [value for _, trace, _ in series for value in trace["latencies_s"]]
    low = 10 ** math.floor(math.log10(max(1e-6, min(values, default=1e-3))))
    high = max(low * 10, 10 ** math.ceil(math.log10(max([*values, low * 10]))))
    axes = Axes(LEFT, (low, high), (0, 1), log_x=True)
    decades = [10.0**k for k in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    parts = axes.frame(
        [(value, seconds(value)) for value in decades], [(k / 4, f"{25 * k} %") for k in range(5)], "latency of a read", "share of reads"
    )
    for _, trace, colour in series:
        ordered = trace["latencies_s"]
        if ordered:
            steps = [(low, 0.0)]
            for k, value in enumerate(ordered):
                steps += [(value, k / len(ordered)), (value, (k + 1) / len(ordered))]
            parts.append(axes.path([*steps, (high, 1.0)], colour))
    return parts


def throughput(series):
    longest = max([len(trace["mib_s"]) * trace["bin_s"] for _, trace, _ in series], default=1) or 1
    highest = max([rate for _, trace, _ in series for rate in trace["mib_s"]], default=1) or 1
    axes = Axes(RIGHT, (0, longest), (0, highest * 1.05))
    parts = axes.frame(linear_ticks(longest), linear_ticks(highest), "seconds since the first read", "MiB/s")
    for _, trace, colour in series:
        points = []
        for k, rate in enumerate(trace["mib_s"]):
            points += [(k * trace["bin_s"], rate), ((k + 1) * trace["bin_s"], rate)]
        if points:
            parts.append(axes.path(points, colour))
    return parts


def draw(scenario, rows):
    """The picture of one scenario's rows ({"subject", "run", "trace", ...}) as SVG text."""
    series, legend = [], []
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    for row in rows:
        if "trace" in row:
            series.append((row["subject"], row["trace"], COLOURS[subjects.index(row["subject"]) % len(COLOURS)]))
    x = LEFT[0]
    for subject in subjects:
        colour = COLOURS[subjects.index(subject) % len(COLOURS)]
        failed = [row["error"] for row in rows if row["subject"] == subject and "error" in row]
        text = subject + (f" (failed: {failed[0][:60]})" if failed else "")
        legend.append(f'<rect x="{x}" y="{HEIGHT - 22}" width="12" height="12" fill="{colour}"/>' + label(x + 18, HEIGHT - 12, text, "start"))
        x += 40 + 7 * len(text)
    style = "text{font:12px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}.grid{stroke:#ddd;stroke-width:1}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
            f'<style>{style}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            label(LEFT[0], 30, f"{scenario}: how long reads take, and how fast bytes come", "start", "title"),
            *distribution(series),
            *throughput(series),
            *legend,
            "</svg>",
            "",
        ]
    )
