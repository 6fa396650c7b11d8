#!/usr/bin/env python3
"""HyperQueue: a task for each part, and a choice that waits for all of them.

usage: python3 examples/cluster/hyperqueue/submit.py [--server DIR | --local WORKERS] POOL.ENV

Needs `pip install hyperqueue`. Without options the tasks go to the server that `hq server start` left in the home folder; --local starts
a server and workers of one core here, and ends them with the work. Tasks whose worker is lost are given to another one.
"""

import argparse
import contextlib
import subprocess
from pathlib import Path

from hyperqueue import Client, Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

HERE = Path(__file__).resolve().parent.parent


def number_of_parts(pool):
    script = 'source "$1" && echo "$PARTS"'
    said = subprocess.run(["bash", "-c", script, "-", pool], check=True, capture_output=True, text=True)
    return int(said.stdout)


@contextlib.contextmanager
def connect(server, workers):
    if workers is None:
        yield Client(server)
        return
    with LocalCluster(server) as cluster:
        for _ in range(workers):
            cluster.start_worker(WorkerConfig(cores=1))
        yield cluster.client()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--server", type=Path, metavar="DIR", help="the server's folder")
    where.add_argument("--local", type=int, metavar="WORKERS", help="start a server and so many workers here")
    parser.add_argument("--logs", type=Path, metavar="DIR", default=Path("askem-logs"), help="where the tasks' output goes")
    parser.add_argument("pool", type=Path, metavar="POOL.ENV")
    options = parser.parse_args()
    pool = str(options.pool.resolve())
    options.logs.mkdir(parents=True, exist_ok=True)
    logs = options.logs.resolve()

    def task(job, script, name, deps=()):
        output = {"stdout": str(logs / f"{name}.out"), "stderr": str(logs / f"{name}.err")}
        return job.program(["bash", str(HERE / script), pool], name=name, deps=deps, **output)

    job = Job(name="askem", max_fails=None)
    # Tasks are numbered from 0 in this order, and HQ_TASK_ID tells a part its number.
    parts = [task(job, "score.sh", f"part-{i}") for i in range(number_of_parts(pool))]
    task(job, "select.sh", "choice", deps=parts)
    with connect(options.server, options.local) as client:
        client.wait_for_jobs([client.submit(job)])


if __name__ == "__main__":
    main()
