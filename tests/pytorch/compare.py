#!/usr/bin/env python3
"""Compares a net of `apam` with the same net in PyTorch, which computes in float64:

gradients   for random weights and images, tensor by tensor; exchanged as files with PyTorch's names
bf16        the error of all gradients of --precision bf16, at most a tenth above that of PyTorch's autocast
training    a few updates from given weights, by SGD without and with momentum: new weights and running statistics, loaded with
            load_state_dict(strict=True)
evaluation  loss and accuracy on test images, with running statistics

Rounding can change the sign of a ReLU's input near zero, which changes a gradient by far more than rounding does. To make this
rare, the biases of batch norms are far from zero here, and the best of four trials counts.
Exit code: 0 if everything agrees, 1 if not, 77 if PyTorch is not installed.
"""

import argparse
import copy
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import models
import safetensors_file

TRIALS = 4
AUTOCAST_BOUND = 1.1  # error of bf16, relative to autocast's. Of 8 images of AllCNN it varies by a tenth, of 32 by a fiftieth
GRADIENT_BOUND = 1e-4  # relative error of a tensor; float32 rounding gives about 1e-6
TRAINING_BOUND = 1e-3  # relative to the change of a tensor by a few updates
UPDATES = 3
SGD = [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}]
KERNELS = "native"  # for training and evaluation. A provider is named, since to time them all takes longer than the comparison
MEAN = torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64).view(3, 1, 1)
DEVIATION = torch.tensor([0.2023, 0.1994, 0.2010], dtype=torch.float64).view(3, 1, 1)


def random_net(name, classes, seed):
    torch.manual_seed(seed)
    net = models.NETS[name](classes)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.6)
            torch.nn.init.uniform_(module.bias, 0.6, 1.2)
            with torch.no_grad():
                module.bias *= torch.randint(2, module.bias.shape) * 2 - 1
            if module.track_running_stats:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return net


def relative_error(found, expected):
    return ((found.double() - expected).norm() / expected.norm()).item()


def pytorch_gradients(net, images, labels):
    loss = torch.nn.functional.cross_entropy(net.train()(images), labels)
    loss.backward()
    return loss, {name: parameter.grad for name, parameter in net.named_parameters()}


def flat(tensors, order):
    """All values as one vector, in the order of the dictionary `order`."""
    return torch.cat([tensors[name].double().flatten() for name in order])


def sha256(net):
    """The digest of all parameters as float32, in the order of the state_dict."""
    digest = hashlib.sha256()
    for parameter in net.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


class Comparison:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.failures = 0

    def check(self, good, text):
        print(("ok      " if good else "FAILED  ") + text, flush=True)
        self.failures += not good

    def apam(self, *arguments):
        command = [self.options.apam, *map(str, arguments), "--threads", "2"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nexit code {done.returncode}:\n{done.stdout}{done.stderr}")

    def random_batch(self, classes, count):
        return torch.randn(count, 3, 32, 32), torch.randint(classes, (count,))

    def apam_gradients(self, net, classes, images, labels, *arguments):
        """Loss and gradients of `apam`, by name."""
        weights, batch, out = (self.folder / name for name in ("weights", "batch", "gradients"))
        safetensors_file.write(weights, net.state_dict())
        safetensors_file.write(batch, {"input": images, "target": labels})
        self.apam("gradients", "--net", self.options.net, "--classes", classes, "--weights", weights, "--batch", batch,
                  "--out", out, *arguments)
        found = safetensors_file.read(out)
        return found.pop("loss", torch.empty(0)), found

    def bf16(self, classes, images):
        torch.manual_seed(0)
        net = models.NETS[self.options.net](classes)
        images, labels = self.random_batch(classes, images)
        _, found = self.apam_gradients(net, classes, images, labels, "--kernels", KERNELS, "--precision", "bf16")
        _, expected = pytorch_gradients(copy.deepcopy(net).double(), images.double(), labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, theirs = pytorch_gradients(net, images, labels)
        error, autocast = (relative_error(flat(one, expected), flat(expected, expected)) for one in (found, theirs))
        self.check(error <= AUTOCAST_BOUND * autocast, f"gradients in bf16: error {error:.3f}, of autocast {autocast:.3f}")

    def gradients(self, classes, kernels):
        best = float("inf")
        for trial in range(TRIALS):
            net = random_net(self.options.net, classes, trial)
            images, labels = self.random_batch(classes, self.options.batch)
            found_loss, found = self.apam_gradients(net, classes, images, labels, "--kernels", kernels)
            loss, expected = pytorch_gradients(net.double(), images.double(), labels)
            shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
            if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()} or found_loss.shape != ():
                self.check(False, f"gradients, {classes} classes: names and shapes")
                return
            worst = max(expected, key=lambda name: relative_error(found[name], expected[name]))
            error = relative_error(found[worst], expected[worst])
            print(f"        trial {trial}: worst gradient {error:.1e} ({worst})", flush=True)
            self.check(relative_error(found_loss, loss) < 1e-5, f"loss {found_loss:.7f}, expected {loss:.7f}")
            best = min(best, error)
            if best < GRADIENT_BOUND:
                break
        self.check(best < GRADIENT_BOUND, f"gradients, {classes} classes, kernels {kernels}: {best:.1e}")

    def write_images(self, count):
        """Writes a CIFAR-10 folder with `count` random training and test images each. Returns the folder and both sets."""
        folder = self.folder / "cifar10"
        folder.mkdir()
        generator = numpy.random.default_rng(5)
        sets = {}
        for file in ("data_batch_1.bin", "test_batch.bin"):
            labels = generator.integers(10, size=(count, 1), dtype=numpy.uint8)
            # Blocks of 8x8 pixels of one colour, so that images differ by more than noise.
            blocks = generator.integers(200, size=(count, 3, 4, 1, 4, 1), dtype=numpy.uint8)
            noise = generator.integers(56, size=(count, 3, 4, 8, 4, 8), dtype=numpy.uint8)
            pixels = (blocks + noise).reshape(count, 3072)
            numpy.hstack([labels, pixels]).tofile(folder / file)
            images = (torch.from_numpy(pixels).double().view(count, 3, 32, 32) / 255 - MEAN) / DEVIATION
            sets[file] = images, torch.from_numpy(labels[:, 0]).long()
        return folder, sets["data_batch_1.bin"], sets["test_batch.bin"]

    def training_and_evaluation(self):
        count = self.options.batch * UPDATES
        data, train, (test_images, _) = self.write_images(count)
        for sgd in SGD:
            for trial in range(TRIALS):
                net, run, weights_error, statistics_error = self.training(trial, data, train, sgd)
                print(f"        trial {trial}: weights {weights_error:.1e}, running statistics {statistics_error:.1e}", flush=True)
                if max(weights_error, statistics_error) < TRAINING_BOUND:
                    break
            text = ", ".join(["SGD", *(f"{name} {value}" for name, value in sgd.items())])
            self.check(weights_error < TRAINING_BOUND, f"weights after training, {text}: {weights_error:.1e} of their change")
            self.check(statistics_error < TRAINING_BOUND, f"running statistics, {text}: {statistics_error:.1e} of their change")
        summary = json.loads((run / "summary.json").read_text())
        self.check(sha256(net) == summary["weights_sha256"], "weights_sha256 matches the parameters in PyTorch's order")
        self.evaluation(data, net, run / "model.safetensors", test_images)

    def training(self, trial, data, train, sgd):
        """Trains with both, by SGD with these arguments of PyTorch. Returns the net with the weights of `apam`, its run folder, and
        the two errors of state_errors()."""
        batch, rate = self.options.batch, 0.05
        images, labels = train
        net = random_net(self.options.net, 10, trial)
        start = copy.deepcopy(net).double()
        initial, run = self.folder / "initial", self.folder / "run"
        options = []
        for name, value in sgd.items():
            options += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
        safetensors_file.write(initial, net.state_dict())
        self.apam("train", "--net", self.options.net, "--data", "cifar10", "--data-root", data, "--exchange", "local",
                  "--optimizer", "sgd", "--lr", rate, "--batch", batch, "--max-updates", UPDATES, "--order", "sequential",
                  "--augment", "none", "--init", initial, "--out", run, "--overwrite", "--kernels", KERNELS, *options)
        net.load_state_dict(safetensors_file.read(run / "model.safetensors"), strict=True)

        expected = copy.deepcopy(start).train()
        optimizer = torch.optim.SGD(expected.parameters(), lr=rate, **sgd)
        for part, targets in zip(images.split(batch), labels.split(batch)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(expected(part), targets).backward()
            optimizer.step()
        return net, run, *self.state_errors(net.state_dict(), expected.state_dict(), start.state_dict())

    def state_errors(self, found, expected, start):
        """The largest errors of weights and of running statistics, relative to their change by training."""
        worst = {"weights": 0.0, "statistics": 0.0}
        for name, tensor in expected.items():
            if name.endswith("num_batches_tracked"):
                if found[name] != tensor:
                    self.check(False, f"{name}: {found[name]}, expected {tensor}")
                continue
            change = (tensor - start[name]).norm().item()
            rounding = 1e-7 * tensor.norm().item()  # of the weights to float32 in every update
            error = max(0.0, (found[name].double() - tensor).norm().item() - rounding) / change
            kind = "statistics" if "running" in name else "weights"
            worst[kind] = max(worst[kind], error)
        return worst["weights"], worst["statistics"]

    def evaluation(self, data, net, weights, images):
        batch = self.options.batch + 1  # the last batch is short
        with torch.no_grad():
            logits = torch.cat([copy.deepcopy(net).double().eval()(part) for part in images.split(batch)])
        # Half of the images are labelled as the net predicts, the others differently.
        labels = logits.argmax(1)
        labels[::2] = (labels[::2] + 1) % 10
        self.relabel(data / "test_batch.bin", labels)
        expected_loss = torch.nn.functional.cross_entropy(logits, labels).item()
        expected_accuracy = (logits.argmax(1) == labels).double().mean().item()

        report = self.folder / "eval.json"
        self.apam("eval", "--net", self.options.net, "--weights", weights, "--data", "cifar10", "--data-root", data, "--batch",
                  batch, "--json", report, "--kernels", KERNELS)
        found = json.loads(report.read_text())
        loss, accuracy = found["test_loss"], found["test_accuracy"]
        self.check(abs(loss / expected_loss - 1) < 1e-5, f"evaluation: loss {loss:.7f}, expected {expected_loss:.7f}")
        self.check(abs(accuracy - expected_accuracy) < 1e-9, f"evaluation: accuracy {accuracy}, expected {expected_accuracy}")

    def relabel(self, path, labels):
        records = numpy.fromfile(path, numpy.uint8).reshape(-1, 3073)
        records[:, 0] = labels.numpy()
        records.tofile(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apam", required=True, help="path of the program")
    parser.add_argument("--net", required=True, choices=models.NETS)
    parser.add_argument("--batch", type=int, default=2, help="images per batch [2]")
    parser.add_argument("--classes", type=int, default=10, help="classes of the gradients' net [10]; the trained one has 10")
    parser.add_argument("--kernels", nargs="*", default=[KERNELS], help=f"kernel selections to compare gradients for [{KERNELS}]")
    parser.add_argument("--bf16-images", type=int, default=0, help="images for the comparison in bf16 [none]")
    options = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(prefix="apam-pytorch-") as folder:
        comparison = Comparison(options, pathlib.Path(folder))
        for kernels in options.kernels:
            comparison.gradients(options.classes, kernels)
        if options.bf16_images > 0:
            comparison.bf16(options.classes, options.bf16_images)
        comparison.training_and_evaluation()
        return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
