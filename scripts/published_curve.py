#!/usr/bin/env python3
"""Compares the published speed-ups on CPUs with a simulated serial master. Prints a table as Markdown.

usage: published_curve.py [--service S] [--spread V ...]

The unit of time is T1, the cycle of one worker. The master needs S of it per update for receive, update and send, the same each
time; the worker computes for 1 - S on average. Speed-ups are updates per T1. The shape of the curve follows from S and the
spread of the compute times only:

  constant, lognormal   compute times; V is the standard deviation of their logarithm (build/bench/exchange_sim)
  closed network        service times are exponential, so more variable; by mean value analysis, exact for any compute times
  bound                 min(N / T1, 1 / S)
"""
import argparse

import experiment_list
import printing
import simulated_curves

WORKERS = (5, 10, 20)
EXPERIMENTS = ("cinic10", "imagenet32")
UPDATES = 40000


def published():
    """(title, [speed-up]) of each experiment; hours are published with two decimals."""
    for name in EXPERIMENTS:
        experiment = experiment_list.all_experiments()[name]
        hours = experiment.published.hours_per_epoch("async")
        yield f"published, {experiment.title.split(',')[0]}", [hours[1] / hours[n] for n in WORKERS]


def options_of(workers, service, spread):
    compute = {"distribution": "lognormal" if spread > 0 else "constant", "mean": 1 - service, "spread": spread}
    return {"mode": "serial", "workers": workers, "updates": UPDATES, "compute": compute, "first_update": service}


def closed_network(workers, service):
    """Updates per T1."""
    queue = rate = 0
    for n in range(1, workers + 1):
        response = service * (1 + queue)
        rate = n / (1 - service + response)
        queue = rate * response
    return rate


def rows_of(service, spreads):
    yield from published()
    for spread in (0, *spreads):
        label = f"lognormal, V = {spread:g}" if spread > 0 else "constant"
        yield f"simulated, {label}", simulated_curves.rates([options_of(n, service, spread) for n in WORKERS])
    yield "closed network", [closed_network(n, service) for n in WORKERS]
    yield "bound", [min(n, 1 / service) for n in WORKERS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", type=float, default=0.1, metavar="S", help="default: %(default)s")
    parser.add_argument("--spread", type=float, nargs="+", default=[0.25, 0.5, 1], metavar="V", help="default: %(default)s")
    options = parser.parse_args()
    if not 0 < options.service < 1:
        parser.error(f"--service {options.service}: expected a number between 0 and 1")
    simulated_curves.print_table("speed-up", WORKERS, rows_of(options.service, options.spread))


if __name__ == "__main__":
    printing.exit_after("published_curve", main)
