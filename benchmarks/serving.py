"""How fast and how safe the service is, against `mlflow models serve` of the same model.

    python benchmarks/serving.py speed            # interleaved, 32 connections and one
    python benchmarks/serving.py speed --against DIR   # another clone's service instead, such as the commit before
    python benchmarks/serving.py kills            # acknowledged predictions lost over 20 kill -9 under load
    python benchmarks/serving.py swaps            # failed requests during 20 champion swaps
    python benchmarks/serving.py hang             # memory while the database hangs for a minute

It makes a project of its own in a temporary folder, with a demo model of the default estimator, and ends with 1 if what
it looks for does not hold. With --postgresql, kills and hang start a PostgreSQL of their own; else they use SQLite.
Both servers of `speed` are as they come: with ``OMP_NUM_THREADS=1`` in the environment MLflow's has one thread too,
as ours has by itself. With --against each clone serves, by its own .venv, a model that its own code has trained; beside
requests per second it prints the processor time of a request, which other work on the machine changes less.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

ROOT = Path(__file__).parents[1]
DISTINCT = 20_000
"""Different rows, more than the service's cache holds, so that every one of them is computed."""


def make_project(folder):
    """Train the demo's default model and promote it; return settings, registry, a promoting function, and test rows."""
    shutil.copytree(ROOT / "params", folder / "params")
    config_file = folder / "params" / "demo" / "config.yaml"
    config_file.write_text(config_file.read_text() + "serve: {refresh_s: 1.0}\n")
    os.environ |= {"QUIRE_ROOT": str(folder), "QUIRE_OUTPUTS": str(folder / "outputs")}
    from quire import artifacts, config, data, model, tracking

    settings = config.load("demo")
    ingested = data.ingest(settings)
    fitted = model.fit_candidate(ingested.train, settings.schema, search=config.Search(trials=1, folds=2))
    run = artifacts.open_stage(
        settings, str(settings.outputs / "runs" / "20260301T120000000-abcd" / "artifacts" / "train")
    )
    reference = run.save("reference", model.describe_reference(ingested.train, settings.schema))
    registry = tracking.open(settings)
    example = model.model_input(ingested.train.tail(5), settings.schema)

    def promote(number):
        logged = registry.log_candidate(
            run, fitted.pipeline, params={"number": number}, metrics=fitted.metrics, input_example=example,
            files={"reference.json": reference},
        )  # fmt: skip
        candidate = {**logged, "params": {"number": number}, "metrics": fitted.metrics}
        return registry.promote(candidate, reason="benchmark", run=run)

    promote(0)
    return settings, registry, promote, ingested.test


def make_bodies(settings, rows):
    """Return the same rows as bodies for the service and for MLflow's server."""
    import pandas as pd

    from quire import model
    from quire.serve import traffic

    rng = random.Random(0)
    many = pd.concat([rows] * (DISTINCT // len(rows) + 1), ignore_index=True).head(DISTINCT)
    for name in ("temp", "hum", "windspeed"):
        many[name] = [round(rng.random(), 6) for _ in range(len(many))]
    ours = [body for body, _ in traffic.bodies(many, settings.schema)]
    X = model.model_input(many, settings.schema)
    split = [{"columns": list(X.columns), "data": [row]} for row in json.loads(X.to_json(orient="values"))]
    return ours, [json.dumps({"dataframe_split": one}).encode() for one in split]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(command, port, path, **environment):
    """Start a server and return its process when it answers."""
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(f"http://127.0.0.1:{port}{path}")
    return process


def wait_for(url, timeout_s=180):
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            return urllib.request.urlopen(url, timeout=5).status
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer within {timeout_s} s.")


def start_quire(port, **environment):
    return start(
        [sys.executable, "-m", "quire", "serve", "demo", "--port", str(port)], port, "/health/ready", **environment
    )


def start_mlflow(settings, registry, port):
    uri = str(registry.folder(registry.champion()))
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "-p", str(port), "--env-manager", "local"]
    return start([*command, "--workers", "1"], port, "/ping", MLFLOW_TRACKING_URI=settings.tracking_uri)


def speed(arguments, folder):
    from quire.serve import traffic

    if arguments.against:
        return compare(arguments, folder)

    settings, registry, _, rows = make_project(folder)
    ours, theirs = make_bodies(settings, rows)
    ports = {"quire": free_port(), "mlflow": free_port()}
    processes = [start_quire(ports["quire"]), start_mlflow(settings, registry, ports["mlflow"])]
    bodies, paths = {"quire": ours, "mlflow": theirs}, {"quire": "/predict", "mlflow": "/invocations"}
    found = {}
    try:
        for round_ in range(arguments.rounds + 1):
            for connections in (32, 1):
                for name in ("mlflow", "quire"):
                    url, options = f"http://127.0.0.1:{ports[name]}", {"path": paths[name], "connections": connections}
                    done = asyncio.run(
                        traffic.load(url, bodies[name], seconds=arguments.seconds if round_ else 2, **options)
                    )
                    if not round_:
                        continue  # warm-up
                    assert done.failed == 0, done.statuses
                    found.setdefault((name, connections), []).append(done)
                    print(f"{round_}  {name:6} {connections:2} connections: {done.per_second:8.1f}/s  "
                          f"p50 {done.latency_ms(0.5):.2f}p99 {done.latency_ms(0.99):7.2f} ms", flush=True)  # fmt: skip
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
    for connections in (32, 1):
        quire, mlflow = (median(found[name, connections], lambda one: one.per_second) for name in ("quire", "mlflow"))
        print(f"{connections} connections: quire {quire:.0f}/s, mlflow {mlflow:.0f}/s: {quire / mlflow:.1f} times")
    quire, mlflow = (median(found[name, 1], lambda one: one.latency_ms(0.99)) for name in ("quire", "mlflow"))
    print(f"p99 at one connection: quire {quire:.2f} ms, mlflow {mlflow:.2f} ms: {quire / mlflow:.3f} of it")


def compare(arguments, folder):
    """Print how fast the service of this clone is beside that of another clone, in turns."""
    from quire.serve import traffic

    servers = {}
    for name, clone in (("this", ROOT), ("other", arguments.against.resolve())):
        own, port, python = folder / name, free_port(), clone / ".venv" / "bin" / "python"
        own.mkdir()
        environment = os.environ | {"PYTHONPATH": str(clone / "lib")}
        make = "import sys, pathlib, serving; serving.make_project(pathlib.Path(sys.argv[1]))"
        subprocess.run([python, "-c", make, own], cwd=clone / "benchmarks", env=environment, check=True)
        environment |= {"QUIRE_ROOT": str(own), "QUIRE_OUTPUTS": str(own / "outputs")}
        command = [python, "-m", "quire", "serve", "demo", "--port", str(port)]
        servers[name] = start(command, port, "/health/ready", **environment), f"http://127.0.0.1:{port}"
    settings, _, _, rows = make_project(folder)
    ours, _ = make_bodies(settings, rows)
    figures = {}
    try:
        for round_ in range(arguments.rounds + 1):
            for connections in (32, 1):
                for name in list(servers)[:: 1 if round_ % 2 else -1]:
                    process, url = servers[name]
                    before, seconds = processor_s(process), arguments.seconds if round_ else 2
                    done = asyncio.run(traffic.load(url, ours, connections=connections, seconds=seconds))
                    assert done.failed == 0, done.statuses
                    used = 1e6 * (processor_s(process) - before) / done.answered
                    if round_:
                        figures.setdefault((name, connections), []).append((done.per_second, used))
                        print(f"{round_}  {name:5} {connections:2} connections: {done.per_second:8.1f}/s  "
                              f"{used:6.1f} us of processor each", flush=True)  # fmt: skip
    finally:
        for process, _ in servers.values():
            os.killpg(process.pid, signal.SIGTERM)
    for connections in (32, 1):
        for unit, of in (("/s", itemgetter(0)), (" us of processor each", itemgetter(1))):
            this, other = (median(figures[name, connections], of) for name in servers)
            ratio = f"{this / other:.3f} of it"
            print(f"{connections} connections: this {this:.0f}{unit}, other {other:.0f}{unit}: {ratio}")


def processor_s(process):
    """Return the seconds that the threads of a process have computed."""
    used = [int(path.read_text().split()[0]) for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
    return sum(used) / 1e9


def median(rounds, of):
    return sorted(map(of, rounds))[len(rounds) // 2]


def kills(arguments, folder):
    from quire.io import database
    from quire.serve import traffic

    settings, _, _, rows = make_project(folder)
    ours, _ = make_bodies(settings, rows)
    server = Postgresql(folder) if arguments.postgresql else None
    url = server.url if server else settings.database_url
    rng, acknowledged, port = random.Random(0), [], free_port()
    for number in range(arguments.times):
        process = start_quire(port, QUIRE_DATABASE_URL=url)

        async def one(process=process):
            load = traffic.load(f"http://127.0.0.1:{port}", ours, connections=32, seconds=3.0, keep_ids=True)
            task = asyncio.create_task(load)
            await asyncio.sleep(rng.uniform(0.5, 2.5))
            process.kill()
            return await task

        done = asyncio.run(one())
        process.wait()
        acknowledged += done.ids
        print(f"kill {number + 1}: {len(done.ids)} acknowledged", flush=True)
    kept = set(database.open(url).predictions("demo", feedback=False)["id"])
    if server:
        server.stop()
    lost = [name for name in acknowledged if name not in kept]
    print(f"{len(lost)} of {len(acknowledged)} acknowledged predictions lost over {arguments.times} kill -9")
    return bool(lost)


def swaps(arguments, folder):
    from quire.serve import traffic

    settings, _, promote, rows = make_project(folder)
    ours, _ = make_bodies(settings, rows)
    port = free_port()
    process = start_quire(port)
    url = f"http://127.0.0.1:{port}"

    async def work():
        stop = asyncio.create_task(traffic.load(url, ours, connections=32, seconds=arguments.times * 12.0))
        for number in range(1, arguments.times + 1):
            version = (await asyncio.to_thread(promote, number)).version
            while await asyncio.to_thread(served_version, url) != version:
                await asyncio.sleep(0.1)
            print(f"swap {number}: version {version}", flush=True)
        return await stop

    try:
        done = asyncio.run(work())
    finally:
        process.terminate()
    print(
        f"{done.failed} of {done.answered + done.failed} requests failed during {arguments.times} swaps: "
        f"{dict(done.statuses)}"
    )
    return bool(done.failed)


def served_version(url):
    with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
        return json.load(answer)["model"]["version"]


def hang(arguments, folder):
    """SQLite hangs while another process holds its lock, PostgreSQL while its processes are stopped."""
    from quire.serve import traffic

    settings, _, _, rows = make_project(folder)
    ours, _ = make_bodies(settings, rows)
    server = Postgresql(folder) if arguments.postgresql else None
    port = free_port()
    process = start_quire(port, QUIRE_DATABASE_URL=server.url if server else settings.database_url)
    url = f"http://127.0.0.1:{port}"

    def load(seconds):
        return asyncio.run(traffic.load(url, ours, connections=32, seconds=seconds))

    load(5)
    before = memory(process)
    with server.stopped() if server else locked(settings.database_url.removeprefix("sqlite:///")):
        found = [(load(5), memory(process)) for _ in range(12)]
        status, retry = refused(url, ours[0])
    answers, most = sum((one.statuses for one, _ in found), Counter()), max(size for _, size in found)
    wait_for(f"{url}/health/ready")
    after = load(3)
    process.terminate()
    process.wait()
    if server:
        server.stop()
    print(
        f"memory {before / 1e6:.0f} MB before, at most {most / 1e6:.0f} MB in the minute; answers {dict(answers)}, "
        f"99 of 100 within {found[-1][0].latency_ms(0.99):.0f} ms at its end, {status} with Retry-After {retry}; "
        f"then {dict(after.statuses)}"
    )
    return not (set(answers) <= {"200", "503"} and most < before + 50e6 and retry and not after.failed)


def refused(url, body):
    """Return status and Retry-After of one more request."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(f"{url}/predict", body), timeout=30)
    except urllib.error.HTTPError as error:
        return error.code, error.headers["retry-after"]
    return answer.status, None


@contextmanager
def locked(path):
    """Hold the lock of an SQLite file."""
    holder = sqlite3.connect(path, isolation_level=None, timeout=60)
    holder.execute("BEGIN EXCLUSIVE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


class Postgresql:
    """A PostgreSQL server in ``folder``."""

    def __init__(self, folder):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise SystemExit("PostgreSQL is not installed: apt install postgresql.")
        self.data, self.port, self.user = folder / "postgresql", free_port(), []
        self.data.mkdir()
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            folder.chmod(0o755)
            shutil.chown(self.data, "postgres", "postgres")
            self.user = ["runuser", "-u", "postgres", "--"]
        self._do(found[-1], "-D", self.data, "-U", "quire", "--auth=trust", "--locale=C.UTF-8")
        listening = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data}"
        self._control = found[-1].with_name("pg_ctl")
        self._do(self._control, "-D", self.data, "-l", self.data / "log", "-w", "-o", listening, "start")
        self._do(found[-1].with_name("createdb"), "-h", "127.0.0.1", "-p", self.port, "-U", "quire", "quire")
        self.url = f"postgresql://quire@127.0.0.1:{self.port}/quire"

    def stop(self):
        """End it."""
        self._do(self._control, "-D", self.data, "-m", "fast", "-w", "stop")

    @contextmanager
    def stopped(self):
        """Halt its processes, so that it hangs."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        pids = [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _do(self, *command):
        subprocess.run([*self.user, *map(str, command)], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)


def memory(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "kills", "swaps", "hang"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--against", type=Path, metavar="CLONE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quire-serving-") as folder:
        sys.exit(globals()[arguments.what](arguments, Path(folder)) or 0)


if __name__ == "__main__":
    main()
