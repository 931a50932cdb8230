#!/usr/bin/env python3
"""Times whole training steps of a net in PyTorch on random images, like build/bench/step: forward, backward and AMSGrad.

Prints one line of JSON per batch size. On a GPU the optimizer is the fused one, one timing is of 20 steps, between which the
host does not wait, and float32 is not replaced by TF32; --mode max-autotune compiles forward and backward. The nets are in
tests/pytorch/models.py. compare.py passes both files as one program on standard input, so the Python that runs it needs no
access to them.
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


STEPS_PER_TIMING_ON_GPU = 20


def time_steps(options, batch):
    """Returns the milliseconds of each timed step, the number of parameters, and the last loss."""
    torch.manual_seed(0)
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    net = models.NETS[options.net](options.classes).to(device).to(memory_format=layout).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, amsgrad=True, fused=on_gpu or None)
    images = torch.randn(batch, 3, 32, 32).to(device).contiguous(memory_format=layout)
    labels = (torch.arange(batch) % options.classes).to(device)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=options.precision == "bf16")
    loss_of = lambda: torch.nn.functional.cross_entropy(net(images), labels)  # noqa: E731
    if options.mode != "eager":
        loss_of = torch.compile(loss_of, mode=options.mode)
    steps_per_timing = STEPS_PER_TIMING_ON_GPU if on_gpu else 1
    milliseconds = []
    for _ in range(options.warm_up + options.steps):
        start = time.perf_counter()
        for _ in range(steps_per_timing):
            optimizer.zero_grad(set_to_none=True)
            with autocast:
                loss = loss_of()
            loss.backward()
            optimizer.step()
        last_loss = loss.item()  # waits
        milliseconds.append((time.perf_counter() - start) * 1e3 / steps_per_timing)
    return milliseconds[options.warm_up :], sum(p.numel() for p in net.parameters()), last_loss


def main():
    parser = argparse.ArgumentParser(prog="step.py", description="Times training steps in PyTorch on random images.")
    parser.add_argument("--net", required=True, choices=models.NETS)
    parser.add_argument("--classes", type=int, default=10, help="number of classes [10]")
    parser.add_argument("--batch", type=int, nargs="+", default=[100], help="batch sizes [100]")
    parser.add_argument("--device", default="cpu", help="cpu or cuda [cpu]")
    parser.add_argument("--mode", choices=["eager", "max-autotune"], default="eager", help="as of torch.compile [eager]")
    parser.add_argument("--steps", type=int, default=10, help="timed steps [10]")
    parser.add_argument("--warm-up", type=int, default=2, help="warm-up steps, not timed [2]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="[PyTorch's default]")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32", help="bf16: autocast [float32]")
    parser.add_argument("--contiguous", action="store_true", help="memory layout (N, C, H, W) instead of channels last")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    for batch in options.batch:
        print(json.dumps(measure(options, batch)), flush=True)


def measure(options, batch):
    milliseconds, parameters, last_loss = time_steps(options, batch)
    median = statistics.median(milliseconds)
    return {
        "pytorch": torch.__version__,
        "layout": "contiguous" if options.contiguous else "channels_last",
        "net": options.net,
        "classes": options.classes,
        "parameters": parameters,
        "batch": batch,
        "precision": options.precision,
        "device": torch.cuda.get_device_name() if options.device != "cpu" else "cpu",
        "mode": options.mode,
        "threads": torch.get_num_threads(),
        "steps": options.steps,
        "images_per_second": batch / median * 1e3,
        "milliseconds": {"median": median, "min": min(milliseconds), "max": max(milliseconds)},
        "memory_mib": {"resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024},
        "last_loss": last_loss,
    }


if __name__ == "__main__":
    main()
