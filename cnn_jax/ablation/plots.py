"""A study's plots, as PNG and SVG."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.ablation import series
from cnn_jax.ablation.endpoints import Endpoint, value
from cnn_jax.ablation.outcomes import Outcome, Outcomes
from cnn_jax.ablation.series import Along
from cnn_jax.ablation.stored import ArmPlan, Plan
from cnn_jax.ablation.trained import Failed
from cnn_jax.ablation.verdicts import Verdict
from cnn_jax.data.dataset import TRAIN, VALIDATION
from cnn_jax.runtime import figures
from cnn_jax.runtime.colours import BLUE, COLOURS, GREEN, GREY, MARKERS, look
from cnn_jax.runtime.figures import PNG, SVG
from cnn_jax.train.curves import whole_windows

KINDS = (PNG, SVG)  # a report shows the first; the second can be edited


def draw_all(
    plan: Plan,
    outcomes: Outcomes,
    verdicts: Sequence[Verdict],
    failed: Failed,
    gradients: Any,
    folder: Path,
) -> list[str]:
    """Draw every plot for which there is something to show; return their names."""
    if not any(outcomes[arm.name] for arm in plan.arms):
        return []
    drawn = []

    def save(name: str, size: tuple[float, float], paint: Callable[[Any], None]) -> None:
        with figures.drawn([folder / f"{name}.{kind}" for kind in KINDS], size) as figure:
            paint(figure)
        drawn.append(name)

    arms = [arm for arm in plan.arms if outcomes[arm.name]]
    save("curves", (11, 4), lambda figure: _curves(figure, arms, outcomes))
    height = 1.2 + 0.34 * len(arms)
    save("endpoint", (8, height), lambda figure: _endpoint(figure, plan, arms, outcomes, failed))
    trained = {
        name: {seed: each for seed, each in own.items() if seed not in failed[name]}
        for name, own in outcomes.items()
    }
    if any(verdict.points for verdict in verdicts):
        height = 1.3 * len(plan.endpoints) + 0.45 * len(verdicts)
        save("differences", (8, height), lambda figure: _differences(figure, plan, verdicts))
    if plan.series is not None:
        found = list(series.compared(plan, verdicts))
        save("series", (11, 4.4), lambda figure: _series(figure, plan, trained, found))
    if any(trained.values()):
        save("cost", (10, 4.2), lambda figure: _cost(figure, plan, arms, trained))
    if gradients:
        save("gradients", (11, 4.2), lambda figure: _gradients(figure, arms, gradients))
    return drawn


def _curves(figure: Any, arms: Sequence[ArmPlan], outcomes: Outcomes) -> None:
    """Error against the step: mean over seeds, the band from the least to the largest."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, split in zip(panels, (TRAIN, VALIDATION), strict=True):
        for index, arm in enumerate(arms):
            by_step: dict[int, list[float]] = {}
            for outcome in outcomes[arm.name].values():
                own = [line for line in outcome.curve if line["split"] == split]
                for line in whole_windows(own)[0] if split == TRAIN else own:
                    if line.get("accuracy") is not None:
                        by_step.setdefault(line["step"], []).append(100 * (1 - line["accuracy"]))
            if not by_step:
                continue
            steps = sorted(by_step)
            colour = COLOURS[index % len(COLOURS)]
            means = [np.mean(by_step[s]) for s in steps]
            axes.plot(steps, means, label=arm.name, **look(index, len(steps) == 1))
            low, high = ([f(by_step[s]) for s in steps] for f in (min, max))
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        title = "training, as it learns: means over windows" if split == TRAIN else split
        figures.plain(
            axes, xlabel="step", ylabel="error (%)" if split == TRAIN else "", title=title
        )
        axes.set_ylim(bottom=0)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")


def _endpoint(
    figure: Any, plan: Plan, arms: Sequence[ArmPlan], outcomes: Outcomes, failed: Failed
) -> None:
    """The endpoint of every seed, and each arm's mean over those that trained."""
    axes, endpoint = figure.subplots(), plan.endpoints[0]
    for index, arm in enumerate(arms):
        seeds = sorted(outcomes[arm.name])
        errors = np.array(_values((outcomes[arm.name][seed] for seed in seeds), endpoint))
        lost = np.array([seed in failed[arm.name] for seed in seeds])
        spread = index + np.linspace(-0.18, 0.18, len(errors)) * (len(errors) > 1)
        colour = COLOURS[index % len(COLOURS)]
        shown = {"color": colour, "alpha": 0.75, "zorder": 3}
        axes.scatter(errors[~lost], spread[~lost], s=18, **shown)
        axes.scatter(errors[lost], spread[lost], s=30, marker="x", **shown)
        if not lost.all():
            middle = [errors[~lost].mean()] * 2
            axes.plot(middle, [index - 0.32, index + 0.32], color=colour, linewidth=2)
    axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
    axes.invert_yaxis()
    label = f"{_named(endpoint)}: every seed, and the mean"
    crossed = any(failed[arm.name] for arm in arms)
    figures.plain(axes, xlabel=f"{label}; crosses: did not train, not in it" if crossed else label)


def _values(cells: Iterable[Outcome], endpoint: Endpoint) -> list[float]:
    """Return the endpoint of cells, an error in percent."""
    return [(100 if endpoint.is_error else 1) * value(each, endpoint) for each in cells]


def _named(endpoint: Endpoint, unit: str = "%") -> str:
    return f"{endpoint.label} ({unit})" if endpoint.is_error else endpoint.label


def _differences(figure: Any, plan: Plan, verdicts: Sequence[Verdict]) -> None:
    """Each statement's two intervals, and the differences that do not matter."""
    drawn = [
        (endpoint, [each for each in verdicts if each.statement.endpoint == endpoint])
        for endpoint in plan.endpoints
    ]
    panels = figure.subplots(
        len(drawn), squeeze=False, height_ratios=[len(found) for _, found in drawn]
    )
    for (axes,), (endpoint, found) in zip(panels, drawn, strict=True):
        _panel(axes, endpoint, found)


def _panel(axes: Any, endpoint: Endpoint, verdicts: Sequence[Verdict]) -> None:
    scale = 100 if endpoint.is_error else 1
    axes.axvline(0, color=GREY, linewidth=1)
    for index, verdict in enumerate(verdicts):
        points = [scale * point for point in verdict.points.values()]
        axes.scatter(points, [index + 0.2] * len(points), color=GREY, s=12, alpha=0.7, zorder=3)
        if not verdict.statement.relative:
            matter = scale * verdict.statement.smallest
            axes.barh(index, 2 * matter, 0.8, -matter, color=GREEN, alpha=0.12, linewidth=0)
        if verdict.mean is not None:
            for (low, high), width in ((verdict.different, 1.2), (verdict.within, 3)):
                ends = [scale * low, scale * high]
                axes.plot(ends, [index] * 2, color=BLUE, linewidth=width)
            axes.plot(scale * verdict.mean, index, "o", color=BLUE, markersize=7, zorder=4)
    axes.set_yticks(range(len(verdicts)), [f"{each.name}\n{each.word}" for each in verdicts])
    axes.set_ylim(len(verdicts) - 0.5, -0.5)
    # Two seeds leave intervals of hundreds of points, beside which nothing else could be seen.
    farthest = max((abs(scale * p) for each in verdicts for p in each.points.values()), default=0)
    least = 2 * max(scale * each.statement.smallest for each in verdicts)
    limit = max(3 * farthest, least)
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -limit), min(high, limit))
    label = f"difference in {_named(endpoint, 'points')}: seeds, mean, simultaneous intervals\n"
    label += "thin: tells better, worse; thick: equivalent, not worse; shaded: does not matter"
    figures.plain(axes, xlabel=label)


def _series(figure: Any, plan: Plan, outcomes: Outcomes, found: Sequence[Along]) -> None:
    """Error by line against the number, and each line's difference from its control."""
    assert plan.series is not None
    endpoint = plan.endpoints[0]
    scale = 100 if endpoint.is_error else 1
    by_line = series.lines(plan.series)
    left, right = figure.subplots(1, 2)
    colours = dict(zip(by_line, COLOURS, strict=False))
    for index, (line, arms) in enumerate(by_line.items()):
        errors = {
            number: _values(outcomes[arm].values(), endpoint)
            for number, arm in arms.items()
            if outcomes[arm]
        }
        means = [np.mean(values) for values in errors.values()]
        left.plot(list(errors), means, label=line, **look(index, len(errors)))
        low, high = ([f(values) for values in errors.values()] for f in (min, max))
        left.fill_between(list(errors), low, high, color=colours[line], alpha=0.15, linewidth=0)
    right.axhline(0, color=GREY, linewidth=1)
    told: set[str] = set()
    for each in found:
        name, colour = f"{each.line} against {each.control}", colours[each.line]
        style = "--" if each.line in told else "-"  # a further control of the same line
        told.add(each.line)
        right.plot(each.at, scale * each.mean, style, color=colour, label=name)
        right.fill_between(each.at, scale * each.low, scale * each.high, color=colour, alpha=0.2)
        for place, low, high in each.crossings():
            right.plot(place, 0, "D", color=colour, markersize=6, zorder=4)
            ends = (each.at[0] if low is None else low, each.at[-1] if high is None else high)
            right.plot(ends, [0, 0], color=colour, linewidth=3, alpha=0.8, zorder=3)
    for axes in (left, right):
        if series.logarithmic([number for arms in by_line.values() for number in arms]):
            axes.set_xscale("log")
    figures.plain(left, xlabel=plan.series.label, ylabel=f"{_named(endpoint)}, least to largest")
    label = (
        f"difference in {_named(endpoint, 'points')}\nsimultaneous interval; diamonds: crossings"
    )
    figures.plain(right, xlabel=plan.series.label, ylabel=label)
    left.legend()
    right.legend()


def _cost(figure: Any, plan: Plan, arms: Sequence[ArmPlan], outcomes: Outcomes) -> None:
    """Multiply-adds and parameters against the endpoint."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("macs", "params"), strict=True):
        for index, arm in enumerate(arms):
            errors = _values(outcomes[arm.name].values(), plan.endpoints[0])
            colour = COLOURS[index % len(COLOURS)]
            cost = getattr(arm, name)
            if not errors:
                continue
            axes.plot([cost] * 2, [min(errors), max(errors)], color=colour, alpha=0.5)
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(cost, np.mean(errors), marker, color=colour, label=arm.name)
        figures.count_in_log(axes)
        label = {"macs": "multiply-adds an image", "params": "parameters"}[name]
        figures.plain(
            axes, xlabel=label, ylabel=_named(plan.endpoints[0]) if name == "macs" else ""
        )
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")


def _gradients(figure: Any, arms: Sequence[ArmPlan], gradients: Any) -> None:
    """The gradient's norm by block, from input to output, before and after training."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, when in zip(panels, ("start", "end"), strict=True):
        for index, arm in enumerate(arms):
            if arm.name not in gradients:
                continue
            norms = np.array([list(each[when].values()) for each in gradients[arm.name]], float)
            depth = np.linspace(0, 1, norms.shape[1])
            mean = np.exp(np.log(np.maximum(norms, 1e-30)).mean(axis=0))
            axes.plot(depth, mean, label=arm.name, **look(index, len(depth)))
        axes.set_yscale("log")
        title = "initial weights" if when == "start" else "trained weights"
        label = "norm of the gradient, mean over seeds" if when == "start" else ""
        figures.plain(axes, xlabel="block, from input (0) to head (1)", ylabel=label, title=title)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")
