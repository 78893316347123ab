"""Draws a training log (CSV) as an SVG: `python plot.py log.csv log.svg`. Needs nothing but the standard library."""

import csv
import math
import sys

WIDTH, HEIGHT, LEFT, GAP = 900, 190, 70, 50
COLOURS = ("#1f6feb", "#d1495b", "#2e933c", "#8f5db7", "#c77700", "#00798c", "#6b705c", "#b5179e", "#3a0ca3", "#222222", "#888888")
PANELS = (("loss", True, lambda k: k == "loss" or k.startswith("valid_")), ("learning rate (share)", False, lambda k: k == "lr_factor"),
          ("tokens a second", False, lambda k: k == "tokens_per_s"), ("MFU", False, lambda k: k == "mfu"),
          ("indexer KL", True, lambda k: k == "kl"), ("recall of the attention mass", False, lambda k: k.startswith("recall")))


def read(path: str) -> tuple[list[str], list[dict]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return (list(rows[0]) if rows else []), rows


def series(rows: list[dict], key: str) -> list[tuple[float, float]]:
    out = []
    for row in rows:
        try:
            point = float(row["tokens"]), float(row[key])
        except (KeyError, TypeError, ValueError):
            continue
        if all(math.isfinite(v) for v in point):
            out.append(point)
    return out


def panel(title: str, lines: dict, top: int, log: bool) -> list[str]:
    values = [y for points in lines.values() for _, y in points if not log or y > 0]
    if not values:
        return []
    last = max(x for points in lines.values() for x, _ in points) or 1.0
    low, high = min(values), max(values)
    transform = math.log10 if log else float
    a, b = transform(low), transform(high)
    b = b if b > a else a + 1e-9 + abs(a) * 1e-3
    out = [f'<text x="{LEFT}" y="{top - 8}" font-size="13">{title}{" (log)" if log else ""}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 190}" height="{HEIGHT - GAP}" fill="none" stroke="#ccc"/>']
    for value, y in ((high, top + 10), (low, top + HEIGHT - GAP)):
        out.append(f'<text x="{LEFT - 6}" y="{y}" font-size="11" text-anchor="end">{value:.4g}</text>')
    out.append(f'<text x="{WIDTH - 190}" y="{top + HEIGHT - GAP + 14}" font-size="11" text-anchor="end">{last / 1e6:.1f} M tokens</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{LEFT + x / last * (WIDTH - LEFT - 190):.1f},{top + (HEIGHT - GAP) * (1 - (transform(y) - a) / (b - a)):.1f}"
                        for x, y in points if not log or y > 0)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        out.append(f'<text x="{WIDTH - 180}" y="{top + 12 + 12 * number}" font-size="11" fill="{colour}">{name}</text>')
    return out


def draw(log_path: str, svg_path: str) -> None:
    keys, rows = read(log_path)
    body, top = [], 30
    for title, log, wanted in PANELS:
        lines = {key: points for key in keys if wanted(key) and (points := series(rows, key))}
        part = panel(title, lines, top, log)
        if part:
            body += part
            top += HEIGHT + 10
    with open(svg_path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>\n')
        file.write("\n".join(body) + "\n</svg>\n")


if __name__ == "__main__":
    draw(sys.argv[1], sys.argv[2])
