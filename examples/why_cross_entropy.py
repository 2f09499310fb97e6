"""Why classifiers minimise cross-entropy: not the error rate, not the squared error.

Shows
1. two networks on three images: both get one of three wrong. The squared error tells them apart;
   the cross-entropy also shows that one of them was sure of a wrong answer;
2. the gradient that reaches the logits. Where the right class has probability q, squared error
   multiplies it by q(1 - q): a model that is sure and wrong learns nothing. Under
   cross-entropy the gradient is q - 1: the more wrong, the larger;
3. the same softmax model trained under both losses, by the same gradient descent from the same
   start, which is sure of wrong classes. Under squared error it never gets away from there.

    python examples/why_cross_entropy.py [--output FOLDER]
"""

import numpy as np
from figures import new_figure, parser, save
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

from softmax_reg import cross_entropy, softmax

# Probability that each network gives to the right one of two classes, for three images.
NETWORKS = {"network A": [0.9, 0.9, 0.4], "network B": [0.6, 0.7, 0.1]}
RIGHT = np.array([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6])
N_ITERATIONS, STEP = 300, 0.5


def measures(right):
    """{name: value} for probabilities of the right one of two classes."""
    proba = np.column_stack([right, 1 - np.asarray(right)])
    target = np.tile([1.0, 0.0], (len(proba), 1))
    return {
        "classification error": np.mean(proba[:, 0] < 0.5),
        "squared error": ((proba - target) ** 2).sum(axis=1).mean(),
        "cross-entropy": cross_entropy(target, proba, from_logits=False),
    }


def gradients(right):
    """d loss / d logit of the right one of two classes: (squared error, cross-entropy).

    With q its probability and e = 1 - q: the squared error is 2 e^2, and dq / dz = q e.
    """
    wrong = 1 - right
    return -4 * wrong * right * wrong, -wrong


def start(X, y):
    """Coefficients that are sure of wrong classes: those of shuffled labels, scaled up."""
    shuffled = np.eye(3)[(y + 1) % 3]
    return 4 * (shuffled - shuffled.mean(axis=0)).T @ X / len(y)


def train(X, y, loss):
    """(mean cross-entropy, accuracy) after each step of gradient descent on `loss`."""
    coef, target, history = start(X, y), np.eye(3)[y], []
    for _ in range(N_ITERATIONS + 1):
        logits = X @ coef.T
        proba = softmax(logits)
        history.append((cross_entropy(y, logits), np.mean(proba.argmax(axis=1) == y)))
        slope = proba - target    # of cross-entropy, with respect to the logits
        if loss == "squared error":
            # Through the Jacobian of softmax, diag(q) - q q', of the slope with respect to q.
            slope = 2 * proba * (slope - (proba * slope).sum(axis=1, keepdims=True))
        coef = coef - STEP * slope.T @ X / len(y)
    return np.array(history)


def print_networks():
    print("1. Two networks, three images: probability of the right one of two classes")
    names = list(measures([0.5]))
    print(f"   {'':10}  {'images':20}" + "".join(f"{name:>22}" for name in names))
    for network, right in NETWORKS.items():
        values = "".join(f"{value:22.2f}" for value in measures(right).values())
        print(f"   {network:10}  {', '.join(map(str, right)):20}" + values)


def print_gradients():
    print("\n2. Gradient at the logit of the right class")
    print(f"   {'its probability':>16}{'squared error':>16}{'cross-entropy':>16}")
    for right, squared, entropy in zip(RIGHT, *gradients(RIGHT), strict=True):
        print(f"   {f'1 - {1 - right:.0e}' if right > 0.9999 else f'{right:g}':>16}"
              f"{squared:16.2g}{entropy:16.2g}")


def print_training(histories):
    print("\n3. Softmax model on standardised iris, gradient descent from a wrong start")
    print(f"   {'iteration':>10}" + "".join(f"{loss:>32}" for loss in histories))
    for i in (0, 10, 30, 100, N_ITERATIONS):
        cells = (f"log loss {h[i, 0]:.3f}, accuracy {h[i, 1]:.2f}" for h in histories.values())
        print(f"   {i:10d}" + "".join(f"{cell:>32}" for cell in cells))


def draw_networks(folder):
    figure, axes = new_figure(8, 3, ncols=3)
    table = {network: measures(right) for network, right in NETWORKS.items()}
    for axis, name in zip(axes, measures([0.5]), strict=True):
        values = [table[network][name] for network in NETWORKS]
        bars = axis.bar(list(NETWORKS), values, color=["tab:blue", "tab:orange"])
        axis.bar_label(bars, fmt="%.2f")
        axis.set(title=name, ylim=(0, 1.15 * max(values)))
    axes[0].set_ylabel("mean over three images")
    axes[2].set_ylabel("nats")
    save(figure, folder, "two_networks.png")


def draw_gradients(folder):
    log_odds = np.linspace(np.log(1e-6), -np.log(1e-6), 601)
    squared, entropy = gradients(1 / (1 + np.exp(-log_odds)))
    figure, axis = new_figure(6, 4)
    axis.plot(log_odds, -entropy, label="cross-entropy")
    axis.plot(log_odds, -squared, "--", label="squared error")
    at = [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6]
    axis.set_xticks(np.log(at) - np.log1p(-np.array(at)),
                    ["1e-6", "0.001", "0.1", "0.5", "0.9", "0.999", "1 - 1e-6"])
    axis.set(xlabel="probability of the right class", ylabel="size of the gradient at its logit")
    axis.legend(loc="upper right")
    save(figure, folder, "gradient_at_the_logit.png")


def draw_training(folder, histories):
    figure, axes = new_figure(9, 3.6, ncols=2)
    for (loss, history), style in zip(histories.items(), ("-", "--"), strict=True):
        for axis, column in zip(axes, history.T, strict=True):
            axis.plot(column, style, label=f"minimising {loss}")
    axes[0].set(xlabel="iteration", ylabel="cross-entropy (nats)", ylim=(0, None))
    axes[1].set(xlabel="iteration", ylabel="accuracy", ylim=(0, 1.02))
    axes[1].legend(loc="lower right")
    save(figure, folder, "training.png")


def main():
    arguments = parser(__doc__).parse_args()
    X, y = load_iris(return_X_y=True)
    X = np.column_stack([scale(X), np.ones(len(y))])    # the last column is for the intercept
    histories = {loss: train(X, y, loss) for loss in ("cross-entropy", "squared error")}
    print_networks()
    print_gradients()
    print_training(histories)
    if arguments.output:
        draw_networks(arguments.output)
        draw_gradients(arguments.output)
        draw_training(arguments.output, histories)


if __name__ == "__main__":
    main()
