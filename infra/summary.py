"""Print the newest run of a use case as Markdown, for the page of a job: its answers first, then what went wrong."""

import json
import sys
from pathlib import Path

MARKS = {"good": "🟢", "warn": "🟡", "bad": "🔴", "neutral": "⚪"}


def summary(outputs: Path, params: str) -> str:
    """Return the Markdown text; it says so where there is no run."""
    records = [json.loads(path.read_text("utf-8")) for path in sorted(outputs.glob("runs/*/run.json"))]
    record = next((one for one in reversed(records) if one["params"] == params), None)
    if record is None:
        return f"No run of `{params}`: it did not start."
    run = outputs / "runs" / record["run_id"]
    lines = [
        f"## {params}: {record['workflow']} {record['status']}",
        "",
        f"Run `{record['run_id']}`, {record['seconds'] or 0:.0f} s",
        "",
        "| stage | status | seconds | answer |",
        "|---|---|---|---|",
    ]
    for name, stage in record["stages"].items():
        path = run / "artifacts" / name / "_answer.json"
        answer = json.loads(path.read_text("utf-8")) if path.exists() else {}
        headline = f"{MARKS.get(answer.get('status', ''), '')} {answer.get('headline', '')}".strip().replace("|", "/")
        lines.append(f"| {name} | {stage['status']} | {stage.get('seconds') or 0:.1f} | {headline} |")
    for warning in record.get("warnings", []):
        lines += ["", f"> {warning}"]
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(Path(sys.argv[1]), sys.argv[2]))
