"""The test accuracy of a run as text, one line per evaluation."""

import math

WIDTH = 50  # characters of a bar of 100 %


def lines(run):
    result = []
    for line in run.evaluations:
        accuracy = line["test_accuracy"]
        if math.isnan(accuracy):
            text = "not finite"
        else:
            text = f"{accuracy:6.1%}  {'#' * round(WIDTH * min(max(accuracy, 0), 1))}"
        result.append(f"epoch {line['epoch']:5.4g}  {line['seconds']:7.0f} s  test accuracy {text}")
    return result
