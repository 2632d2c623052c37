"""How often 95 % intervals hold the truth, by method: the table that the engine's was chosen by.

    python experiments/calibration.py > experiments/results/calibration.md

Simulated studies with a known truth (`cnn_jax/ablation/simulate.py`); half a minute.
"""

from cnn_jax.ablation import simulate

STUDIES, SEEDS = 10_000, (3, 5, 10)


def main() -> None:
    """Print the table as Markdown."""
    print(f"# Coverage of 95 % intervals over {STUDIES:,} simulated studies\n")
    for seeds in SEEDS:
        parts = [simulate.compare_methods(seeds, studies=1000, seed=i) for i in range(10)]
        methods = list(next(iter(parts[0].values())))
        print(f"## {seeds} seeds\n\n| | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
        for regime in parts[0]:
            shares = [sum(part[regime][method] for part in parts) / 10 for method in methods]
            print(f"| {regime} | {' | '.join(f'{share:.1%}' for share in shares)} |")
        print()


if __name__ == "__main__":
    main()
