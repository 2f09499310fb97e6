"""Softmax and cross-entropy, from the logits to the cost.

Shows
1. what softmax does to logits: the temperature, classes that cannot occur, why a common shift
   changes nothing, and how the formula taken literally overflows where `softmax_reg.softmax`
   does not;
2. the cross-entropy of a prediction, with the right slots: target p first, prediction q second;
   smoothed labels, which make certainty costly;
3. what a prediction costs: -log q for y = 1, -log(1 - q) for y = 0;
4. cross-entropy = entropy + Kullback-Leibler divergence, so that the best prediction is p.

    python examples/softmax_and_cross_entropy.py [--output FOLDER]
"""

import numpy as np
from figures import new_figure, parser, save

from softmax_reg import (
    binary_cross_entropy,
    cross_entropy,
    entropy,
    kl_divergence,
    log_softmax,
    softmax,
)

LOGITS = np.array([2.0, 1.0, 0.1])
TEMPERATURES = (0.25, 1.0, 4.0)
TARGET = np.array([0.5, 0.3, 0.2])
PREDICTION = np.array([0.4, 0.4, 0.2])


def naive_softmax(z):
    """The formula, taken literally."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(z) / np.exp(z).sum()


def show(numbers):
    return "[" + ", ".join(f"{x:.4g}" for x in numbers) + "]"


def print_softmax():
    print("1. Softmax turns logits into probabilities: q_k = exp(z_k) / sum_j exp(z_j)")
    proba = softmax(LOGITS)
    print(f"   logits {show(LOGITS)}  ->  {show(proba)}, sum {proba.sum():.1f}")
    for temperature in TEMPERATURES:
        print(f"   divided by a temperature of {temperature:<4g}  ->  "
              f"{show(softmax(LOGITS, temperature=temperature))}")
    possible = [True, False, True]
    print(f"   the second class cannot occur  ->  {show(softmax(LOGITS, where=possible))}")
    shift = np.abs(softmax(LOGITS + 100) - softmax(LOGITS)).max()
    print(f"   100 added to every logit: a difference of {shift:.0e}; only differences count")
    large = 500 * LOGITS
    print(f"   logits {show(large)}: naive {show(naive_softmax(large))}, "
          f"ours {show(softmax(large))}")
    print(f"   its logarithm, where the probability is too small for a number: "
          f"{show(log_softmax(large))}")


def print_cross_entropy():
    print("\n2. Cross-entropy H(p, q) = -sum_k p_k log q_k, in nats: target p, prediction q")
    right = cross_entropy(TARGET, PREDICTION, from_logits=False)
    swapped = cross_entropy(PREDICTION, TARGET, from_logits=False)
    print(f"   p = {show(TARGET)}, q = {show(PREDICTION)}:  H(p, q) = {right:.4f}")
    print(f"   the slots swapped, H(q, p) = {swapped:.4f}, is another number")
    sure = np.array([0.0, 1.0, 0.0])
    print(f"   one right class, p = {show(sure)}: H = -log q_1 = "
          f"{cross_entropy(sure, PREDICTION, from_logits=False):.4f}, "
          f"from its number {cross_entropy(1, PREDICTION, from_logits=False):.4f}")
    wrong = cross_entropy(sure, np.array([1.0, 0.0, 0.0]), from_logits=False)
    print(f"   a right class that was ruled out costs {wrong}")
    print("   the right class of logits [z, 0, 0] costs, with labels smoothed by 0.1:")
    for z in (2.0, 3.0, 4.0, 10.0):
        logits = [z, 0.0, 0.0]
        print(f"     z = {z:4.1f}: {cross_entropy(0, logits, label_smoothing=0.1):.3f}, "
              f"without {cross_entropy(0, logits):.5f}")


def print_costs():
    print("\n3. What one prediction q of y = 1 costs")
    print("        q     y = 1: -log q     y = 0: -log(1 - q)")
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        costs = [binary_cross_entropy(y, q, from_logits=False) for y in (1, 0)]
        print(f"     {q:4.2f}     {costs[0]:13.3f}     {costs[1]:18.3f}")


def print_decomposition():
    print("\n4. Cross-entropy = entropy + Kullback-Leibler divergence")
    parts = entropy(TARGET), kl_divergence(TARGET, PREDICTION)
    whole = cross_entropy(TARGET, PREDICTION, from_logits=False)
    print(f"   H(p) + KL(p, q) = {parts[0]:.4f} + {parts[1]:.4f} = {sum(parts):.4f}; "
          f"H(p, q) = {whole:.4f}")
    print("   H(p) is what the data cost at best; KL is what the model pays for being wrong.")


def draw_temperatures(folder):
    figure, axes = new_figure(9, 3, ncols=3, sharey=True)
    for axis, temperature in zip(axes, TEMPERATURES, strict=True):
        bars = axis.bar(["2.0", "1.0", "0.1"], softmax(LOGITS, temperature=temperature))
        axis.bar_label(bars, fmt="%.2g")
        axis.set(title=f"temperature {temperature:g}", xlabel="logit", ylim=(0, 1.1))
    axes[0].set_ylabel("probability")
    save(figure, folder, "softmax_temperature.png")


def draw_costs(folder):
    q = np.linspace(1e-4, 1 - 1e-4, 1001)
    figure, axis = new_figure(6, 4)
    for y, style in ((1, "-"), (0, "--")):
        cost = binary_cross_entropy(np.full(len(q), y), q, from_logits=False, reduction="none")
        axis.plot(q, cost, style, label=f"y = {y}: " + ("-log q" if y else "-log(1 - q)"))
    axis.set(xlabel="predicted probability q of y = 1", ylabel="cost (nats)", ylim=(0, 7))
    axis.legend(loc="upper center")
    save(figure, folder, "cost_curves.png")


def draw_decomposition(folder):
    p = 0.7
    q = np.linspace(0.01, 0.99, 500)
    targets = np.tile([1 - p, p], (len(q), 1))
    predictions = np.column_stack([1 - q, q])
    least = np.full(len(q), entropy([1 - p, p]))
    whole = cross_entropy(targets, predictions, from_logits=False, reduction="none")
    figure, axis = new_figure(6, 4)
    axis.fill_between(q, 0, least, alpha=0.4, label="entropy H(p)")
    axis.fill_between(q, least, whole, alpha=0.4, label="divergence KL(p, q)")
    axis.plot(q, whole, color="black", label="cross-entropy H(p, q)")
    axis.axvline(p, color="black", linestyle=":", label=f"q = p = {p}")
    axis.set(xlabel="predicted probability q of a class of probability 0.7",
             ylabel="nats", ylim=(0, 2.5), xlim=(0.01, 0.99))
    axis.legend(loc="upper center")
    save(figure, folder, "entropy_and_divergence.png")


def main():
    arguments = parser(__doc__).parse_args()
    print_softmax()
    print_cross_entropy()
    print_costs()
    print_decomposition()
    if arguments.output:
        draw_temperatures(arguments.output)
        draw_costs(arguments.output)
        draw_decomposition(arguments.output)


if __name__ == "__main__":
    main()
