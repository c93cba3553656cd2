"""Runs heareval's two stages for a list of HEAR modules and tasks, and prints a table of the scores.

    python tests/heareval/evaluate.py --tasks tasks --modules hear_edgel3.sea_64 hear_edgel3.mn04_as --output results

    OUTPUT/embeddings/<module><options>/<task>/   what heareval writes; test.predicted-scores.json has all scores
    OUTPUT/logs/<module><options>/<task>/         embeddings.log, predictions.log

What is finished is not run again: after a failure or an interruption the same command goes on where it stopped. The
table has all that is finished in OUTPUT, so runs with other modules and options add to it; progress goes to stderr. The
exit status is 1 if a stage failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUN = Path(__file__).resolve().with_name("run.py")
TAIL = 15  # lines of a failed stage's log that are shown
DONE = {"embeddings": ".done.embeddings", "predictions": "prediction-done.json"}  # heareval's own marks
SCORES = "test.predicted-scores.json"


def json_object(text: str) -> str:
    """The text, if it is a JSON object."""
    if not isinstance(json.loads(text), dict):
        raise ValueError
    return text


def folder_name(module: str, options: str) -> str:
    """The folder that heareval's embeddings runner makes for a module with these options."""
    from slugify import slugify

    return module + "".join(f"-{slugify(k)}={slugify(str(v))}" for k, v in json.loads(options).items())


def run_stage(stage: str, arguments: list[str], label: str, output: Path, name: str, task: str) -> bool:
    """Runs a stage for one module and task unless heareval has marked it as done; whether it is done now."""
    done = output / "embeddings" / name / task / DONE[stage]
    if done.exists():
        print(f"{label}: {stage} are there already", file=sys.stderr)
        return True
    log = output / "logs" / name / task / f"{stage}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    # In the output folder, with relative paths: heareval puts its training logs below both
    with log.open("w") as file:
        command = [sys.executable, str(RUN), stage, *arguments]
        status = subprocess.run(
            command, cwd=output, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status == 0 and done.exists():
        print(f"{label}: {stage} took {time.perf_counter() - start:.1f} s", file=sys.stderr)
        return True
    tail = log.read_text(errors="replace").replace("\r", "\n").splitlines()[-TAIL:]
    print(f"{label}: {stage} FAILED with status {status}. The end of {log}:", file=sys.stderr)
    print("\n".join(f"    {line}" for line in tail), file=sys.stderr, flush=True)
    return False


def evaluate(module: str, task: str, tasks: Path, output: Path, options: str) -> bool:
    """Runs both stages for one module and task; whether both are done."""
    name = folder_name(module, options)
    embed = [module, "--tasks-dir", str(tasks), "--task", task, "--embeddings-dir", "embeddings"]
    label = f"{name}, {task}"
    return run_stage("embeddings", [*embed, "--model-options", options], label, output, name, task) and run_stage(
        "predictions", [f"embeddings/{name}/{task}"], label, output, name, task
    )


def scores_of(folder: Path) -> dict[str, str]:
    """The test scores of one module and task as text, by the names in the task's metadata; with folds, mean ± std."""
    names = json.loads((folder / "task_metadata.json").read_text())["evaluation"]
    results: dict[str, Any] = json.loads((folder / SCORES).read_text())
    folds = results.get("aggregated_scores")
    if folds is None:
        return {name: f"{results['test'][f'test_{name}']:.3f}" for name in names}
    return {name: f"{folds[f'test_{name}_mean']:.3f} ± {folds[f'test_{name}_std']:.3f}" for name in names}


def table(output: Path) -> str:
    """Markdown with one row per task and score, and one column per module."""
    found = {
        (done.parent.parent.name, done.parent.name): scores_of(done.parent)
        for done in sorted((output / "embeddings").glob(f"*/*/{DONE['predictions']}"))
    }
    if not found:
        return "nothing is finished"
    modules = sorted({module for module, _ in found})
    lines = [" | ".join(["| task", "score", *modules]) + " |", "|---" * (len(modules) + 2) + "|"]
    for task in sorted({task for _, task in found}):
        rows = [scores for (_, other), scores in found.items() if other == task]
        for score in rows[0]:
            cells = [found.get((module, task), {}).get(score, "") for module in modules]
            lines.append(" | ".join([f"| {task}", score, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=Path, required=True, help="folder with HEAR tasks")
    parser.add_argument("--task", nargs="+", help="names of folders in it (default: all)")
    parser.add_argument("--modules", nargs="+", required=True, help="installed HEAR modules")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder with weights; becomes HEAR_EDGEL3_WEIGHTS")
    parser.add_argument(
        "--model-options", type=json_object, default="{}", help="JSON with arguments of load_model, for every module"
    )
    arguments = parser.parse_args()
    tasks = sorted(path.parent.name for path in arguments.tasks.glob("*/task_metadata.json"))
    if not tasks:
        parser.error(f"{arguments.tasks} has no HEAR tasks (folders with task_metadata.json)")
    if missing := sorted(set(arguments.task or []) - set(tasks)):
        parser.error(f"{arguments.tasks} does not have {', '.join(missing)}, but {', '.join(tasks)}")
    if arguments.weights is not None:
        if not arguments.weights.is_dir():
            parser.error(f"{arguments.weights} is not a folder")
        os.environ["HEAR_EDGEL3_WEIGHTS"] = str(arguments.weights.resolve())
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    done = [
        evaluate(module, task, arguments.tasks.resolve(), output, arguments.model_options)
        for task in arguments.task or tasks
        for module in arguments.modules
    ]
    print(table(output))
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
