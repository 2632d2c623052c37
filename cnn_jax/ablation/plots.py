"""A study's plots, as PNG and SVG."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.ablation import series
from cnn_jax.ablation.series import Along
from cnn_jax.ablation.stored import ArmPlan, Plan
from cnn_jax.ablation.verdicts import Outcomes, Verdict, error, in_points
from cnn_jax.data.dataset import TRAIN, VALIDATION
from cnn_jax.runtime import figures
from cnn_jax.runtime.colours import BLUE, COLOURS, GREEN, GREY, MARKERS, look
from cnn_jax.runtime.figures import PNG, SVG
from cnn_jax.train.curves import whole_windows

KINDS = (PNG, SVG)  # a report shows the first; the second can be edited


def draw_all(
    plan: Plan, outcomes: Outcomes, verdicts: Sequence[Verdict], gradients: Any, folder: Path
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
    save("endpoint", (8, height), lambda figure: _endpoint(figure, plan, arms, outcomes))
    if any(verdict.points for verdict in verdicts):
        height = 1.3 + 0.4 * len(verdicts)
        save("differences", (8, height), lambda figure: _differences(figure, plan, verdicts))
    if plan.series is not None:
        found = list(series.compared(plan, outcomes))
        save("series", (11, 4.4), lambda figure: _series(figure, plan, outcomes, found))
    save("cost", (10, 4.2), lambda figure: _cost(figure, plan, arms, outcomes))
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
            axes.plot(steps, means, label=arm.name, **look(index))
            low, high = ([f(by_step[s]) for s in steps] for f in (min, max))
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        title = "training, as it learns: means over windows" if split == TRAIN else split
        figures.plain(
            axes, xlabel="step", ylabel="error (%)" if split == TRAIN else "", title=title
        )
        axes.set_ylim(bottom=0)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper")


def _endpoint(figure: Any, plan: Plan, arms: Sequence[ArmPlan], outcomes: Outcomes) -> None:
    """The endpoint of every seed, and each arm's mean."""
    axes = figure.subplots()
    for index, arm in enumerate(arms):
        errors = [100 * error(each, plan.endpoint) for each in outcomes[arm.name].values()]
        spread = np.linspace(-0.18, 0.18, len(errors)) if len(errors) > 1 else [0.0]
        colour = COLOURS[index % len(COLOURS)]
        axes.scatter(errors, index + np.asarray(spread), color=colour, s=18, alpha=0.75, zorder=3)
        axes.plot([np.mean(errors)] * 2, [index - 0.32, index + 0.32], color=colour, linewidth=2)
    axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
    axes.invert_yaxis()
    figures.plain(axes, xlabel=f"{plan.endpoint} error (%): every seed, and the mean")


def _differences(figure: Any, plan: Plan, verdicts: Sequence[Verdict]) -> None:
    """Each comparison's interval, and the differences that do not matter."""
    axes = figure.subplots()
    matter = 100 * plan.smallest
    axes.axvspan(-matter, matter, color=GREEN, alpha=0.1, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    for index, verdict in enumerate(verdicts):
        points = [100 * point for point in verdict.points.values()]
        axes.scatter(points, [index] * len(points), color=GREY, s=12, alpha=0.7, zorder=3)
        if verdict.found is not None:
            low, high = in_points(verdict.found)
            mean = 100 * float(verdict.found.mean)
            axes.plot([low, high], [index] * 2, color=BLUE, linewidth=2)
            axes.plot(mean, index, "o", color=BLUE, markersize=7, zorder=4)
    axes.set_yticks(
        range(len(verdicts)),
        [f"{each.arm} against {each.control}\n{each.verdict}" for each in verdicts],
    )
    axes.set_ylim(len(verdicts) - 0.5, -0.5)
    # Two seeds leave intervals of hundreds of points, beside which nothing else could be seen.
    farthest = max(abs(100 * p) for each in verdicts for p in each.points.values())
    limit = min(max(3 * farthest, 2 * matter), 100)
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -limit), min(high, limit))
    label = f"difference in {plan.endpoint} error (points), 95 % interval\nshaded: does not matter"
    figures.plain(axes, xlabel=label)


def _series(figure: Any, plan: Plan, outcomes: Outcomes, found: Sequence[Along]) -> None:
    """Error by line against the number, and each line's difference from its control."""
    assert plan.series is not None
    by_line = series.lines(plan.series)
    left, right = figure.subplots(1, 2)
    colours = dict(zip(by_line, COLOURS, strict=False))
    for index, (line, arms) in enumerate(by_line.items()):
        errors = {
            number: [100 * error(each, plan.endpoint) for each in outcomes[arm].values()]
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
        right.plot(each.at, 100 * each.mean, style, color=colour, label=name)
        right.fill_between(each.at, 100 * each.low, 100 * each.high, color=colour, alpha=0.2)
        for place, low, high in each.crossings():
            right.plot(place, 0, "D", color=colour, markersize=6, zorder=4)
            ends = (each.at[0] if low is None else low, each.at[-1] if high is None else high)
            right.plot(ends, [0, 0], color=colour, linewidth=3, alpha=0.8, zorder=3)
    for axes in (left, right):
        if series.logarithmic([number for arms in by_line.values() for number in arms]):
            axes.set_xscale("log")
    figures.plain(
        left, xlabel=plan.series.label, ylabel=f"{plan.endpoint} error (%), least to largest"
    )
    label = f"difference in {plan.endpoint} error (points)\n95 % interval; diamonds: crossings"
    figures.plain(right, xlabel=plan.series.label, ylabel=label)
    left.legend()
    right.legend()


def _cost(figure: Any, plan: Plan, arms: Sequence[ArmPlan], outcomes: Outcomes) -> None:
    """Multiply-adds and parameters against the endpoint."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("macs", "params"), strict=True):
        for index, arm in enumerate(arms):
            errors = [100 * error(each, plan.endpoint) for each in outcomes[arm.name].values()]
            colour = COLOURS[index % len(COLOURS)]
            cost = getattr(arm, name)
            axes.plot([cost] * 2, [min(errors), max(errors)], color=colour, alpha=0.5)
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(cost, np.mean(errors), marker, color=colour, label=arm.name)
        figures.count_in_log(axes)
        label = {"macs": "multiply-adds an image", "params": "parameters"}[name]
        figures.plain(
            axes, xlabel=label, ylabel=f"{plan.endpoint} error (%)" if name == "macs" else ""
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
