"""The study's tables, as Markdown and CSV."""

import math

from files import atomic


def write(runs, markdown, folder):
    """Write the table of runs as CSV, and the other tables' text. Raises OSError."""
    atomic.write_text(
        folder / "runs.csv", runs.to_csv(index=False, lineterminator="\n", float_format="%.4f")
    )
    atomic.write_text(folder / "summary.md", markdown)


def format_all(summary, effects, published):
    """Return the tables of `report`'s functions as one Markdown text."""
    tables = [format_summary(summary), format_effects(effects), format_published(published)]
    return "\n".join(table for table in tables if table)


def format_summary(summary):
    return format_markdown(
        {
            "variant": row["variant"],
            "n": row["n"],
            "mean %": format_number(row["mean"]),
            "95 % CI of the mean": format_range(row["mean_low"], row["mean_high"]),
            "std": format_number(row["std"]),
            "min to max %": format_range(row["min"], row["max"]),
            "runs that miss a digit": f"{row['missing']} of {row['n']}",
            "95 % CI of their share, %": format_range(row["share_low"], row["share_high"], 0),
            "mean % of the others": format_number(row["mean_of_others"]),
        }
        for row in summary.to_dict("records")
    )


def format_effects(effects):
    headings = {
        "mean": ("on the mean accuracy", 2),
        "share": ("on the share of runs that miss a digit", 0),
        "mean_of_others": ("on the mean accuracy of the others", 2),
    }
    return format_markdown(
        {
            "effect, points (95 % CI)": row["effect"],
            **{
                heading: format_estimate(*[row[outcome + end] for end in ENDS], digits)
                for outcome, (heading, digits) in headings.items()
            },
        }
        for row in effects.to_dict("records")
    )


def format_published(published):
    return format_markdown(
        {
            "published": row["source"],
            "%": format_number(row["figure"]),
            "runs of": f"{row['variant']} ({row['n']})",
            "below it": row["below"],
            "above it": row["above"],
            "above it in their best epoch": row["best_epoch_above"],
        }
        for row in published.to_dict("records")
    )


ENDS = ("", "_low", "_high")  # of the columns of an estimate and its interval


def format_number(number, digits=2):
    return "-" if math.isnan(number) else f"{number:.{digits}f}"


def format_range(low, high, digits=2):
    return "-" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def format_estimate(estimate, low, high, digits=2):
    """Return for example "-13.31 (-16.52 to -10.04)"; "-" if there is none."""
    if math.isnan(estimate):
        return "-"
    interval = "" if math.isnan(low) else f" ({low:+.{digits}f} to {high:+.{digits}f})"
    return f"{estimate:+.{digits}f}{interval}"


def format_markdown(rows):
    """Return rows, dicts with the same keys, as a Markdown table with aligned columns."""
    rows = [{key: str(value) for key, value in row.items()} for row in rows]
    if not rows:
        return ""
    widths = {key: max(2, len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    first = next(iter(widths))
    rule = [
        ("-" * width if key == first else "-" * (width - 1) + ":") for key, width in widths.items()
    ]
    lines = [[key.ljust(width) for key, width in widths.items()], rule]
    for row in rows:
        lines.append(
            [row[k].ljust(w) if k == first else row[k].rjust(w) for k, w in widths.items()]
        )
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
