"""``make soak``: kill many runs of a small workflow at random moments, and check what is left.

python benchmarks/soak.py [--rounds 200] [--seed 1] [--publish]

With --publish the killed runs publish, and each must be in MLflow, and have alerted, once, after the next run.
"""

import argparse
import importlib.util
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "flow"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--publish", action="store_true", help="kill what publishes, too")
    options = parser.parse_args()
    soak, projects = load("soak"), load("conftest")
    with tempfile.TemporaryDirectory() as folder:
        project = soak.fill(projects.make_project(Path(folder) / "project"))
        hits = soak.soak(
            project,
            rounds=options.rounds,
            seed=options.seed,
            publish=options.publish,
            report=lambda done, hits: print(f"{done} rounds, {hits} hits, all whole", flush=True),
        )
    print(f"{options.rounds} rounds: {hits} killed, every next run completed, every artifact whole, no process left.")
    if options.publish:
        print("Every run is in MLflow once, and every run that failed or died alerted once.")


if __name__ == "__main__":
    main()
