#!/usr/bin/env python3
"""Times whole training steps of a net in PyTorch on random images, as build/bench/step does with ours: forward, backward,
AMSGrad. Prints one line of JSON. The nets are those of tests/pytorch/models.py.

compare.py sends this file, with models.py before it, over the standard input of a Python that need not see our files.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

import torch

if "models" not in sys.modules:
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "pytorch"))
import models


def time_steps(options):
    """Milliseconds of each timed step, the number of parameters, and the last loss."""
    torch.manual_seed(0)
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    net = models.NETS[options.net](options.classes).to(memory_format=layout).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, amsgrad=True)
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.arange(options.batch) % options.classes
    milliseconds = []
    for _ in range(options.warm_up + options.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        last_loss = loss.item()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return milliseconds[options.warm_up :], sum(p.numel() for p in net.parameters()), last_loss


def main():
    parser = argparse.ArgumentParser(prog="step.py", description="Times training steps in PyTorch on random images.")
    parser.add_argument("--net", required=True, choices=models.NETS)
    parser.add_argument("--classes", type=int, default=10, help="classes that it tells apart [10]")
    parser.add_argument("--batch", type=int, default=100, help="images a step [100]")
    parser.add_argument("--steps", type=int, default=10, help="steps timed [10]")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before, not timed [2]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="[PyTorch's default]")
    parser.add_argument("--contiguous", action="store_true", help="keep images as (N, C, H, W) in memory, not channels last")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    milliseconds, parameters, last_loss = time_steps(options)
    median = statistics.median(milliseconds)
    result = {
        "pytorch": torch.__version__,
        "layout": "contiguous" if options.contiguous else "channels_last",
        "net": options.net,
        "classes": options.classes,
        "parameters": parameters,
        "batch": options.batch,
        "threads": torch.get_num_threads(),
        "steps": options.steps,
        "images_per_second": options.batch / median * 1e3,
        "milliseconds": {"median": median, "min": min(milliseconds), "max": max(milliseconds)},
        "memory_mib": {"resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024},
        "last_loss": last_loss,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
