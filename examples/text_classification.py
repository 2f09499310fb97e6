"""Text to classes: TF-IDF, a sparse L1 path, and the words that carry each class.

The texts ship with your Python: the docstrings of public functions of NumPy, SciPy and
scikit-learn, without their examples; the label is the subpackage. Or take your own table:

    python examples/text_classification.py [--output FOLDER]
    python examples/text_classification.py --data FILE.csv --text COLUMN --target COLUMN

Shows
1. a Pipeline of TfidfVectorizer and `SoftmaxRegressionCV` on the sparse matrix; C is chosen by the
   one-standard-error rule along an L1 path;
2. how many words are left, and log loss and accuracy on held-out texts;
3. the words that speak for each class.
"""

import importlib
import inspect
import warnings
from collections import Counter

import numpy as np
from figures import parser, save
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from softmax_reg import CoefficientDisplay, RegularizationPathDisplay, SoftmaxRegressionCV

SUBPACKAGES = (
    "numpy.linalg", "numpy.ma", "numpy.random", "scipy.fft", "scipy.integrate",
    "scipy.interpolate", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal",
    "scipy.sparse", "scipy.spatial", "scipy.special", "scipy.stats", "sklearn.cluster",
    "sklearn.datasets", "sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics",
    "sklearn.preprocessing",
)
LEAST_TEXTS = 25    # of a class


def docstrings():
    """Texts and labels; every text once, cut where the examples begin."""
    texts = {}
    for name in SUBPACKAGES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
            members = [getattr(module, member, None) for member in sorted(dir(module))
                       if not member.startswith("_")]
        for member in members:
            text = inspect.getdoc(member) if callable(member) else None
            if text and len(text) > 200:
                texts.setdefault(text.split("\nExamples\n")[0], name)
    return np.array(list(texts)), np.array(list(texts.values()))


def read(path, text, target):
    """Texts and labels of a table."""
    try:
        import pandas
    except ImportError:
        raise ImportError("--data needs pandas: python -m pip install pandas") from None
    frame = pandas.read_csv(path)
    for column, argument in ((text, "--text"), (target, "--target")):
        if column not in frame:
            raise ValueError(f"{argument} must name a column of {path}, one of "
                             f"{list(frame.columns)}, got {column!r}.")
    frame = frame.dropna(subset=[text, target])
    return frame[text].astype(str).to_numpy(), frame[target].astype(str).to_numpy()


def frequent(texts, labels):
    """Without classes of too few texts to be split."""
    counts = Counter(labels)
    kept = np.array([counts[label] >= LEAST_TEXTS for label in labels])
    if len({*labels[kept]}) < 2:
        raise ValueError(f"two classes of at least {LEAST_TEXTS} texts are needed, got {counts}.")
    return texts[kept], labels[kept]


def words_for(model, words, n_words=6):
    """{class: the words of its largest positive coefficients}."""
    found = {}
    coef = np.vstack([-model.coef_, model.coef_]) if len(model.coef_) == 1 else model.coef_
    for label, row in zip(model.classes_, coef, strict=True):
        order = np.argsort(-row, kind="stable")[:n_words]
        found[label] = [words[j] for j in order if row[j] > 0]
    return found


def draw(folder, model, words):
    import matplotlib

    matplotlib.use("agg")
    display = RegularizationPathDisplay.from_estimator(model)
    display.figure_.set_size_inches(6, 4)
    save(display.figure_, folder, "text_score.png")
    display = RegularizationPathDisplay.from_estimator(
        model, kind="norms", feature_names=words
    )
    display.figure_.set_size_inches(6, 4)
    save(display.figure_, folder, "text_path.png")
    largest = model.classes_[:6] if len(model.coef_) > 1 else None
    display = CoefficientDisplay.from_estimator(model, feature_names=words, classes=largest)
    save(display.figure_, folder, "text_words.png")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--data", metavar="FILE.csv")
    arguments.add_argument("--text", default="text", metavar="COLUMN")
    arguments.add_argument("--target", default="label", metavar="COLUMN")
    given = arguments.parse_args()
    texts, labels = frequent(
        *(read(given.data, given.text, given.target) if given.data else docstrings())
    )
    train, test, y_train, y_test = train_test_split(
        texts, labels, test_size=0.25, stratify=labels, random_state=0
    )
    pipeline = Pipeline([
        ("words", TfidfVectorizer(
            sublinear_tf=True, min_df=3, stop_words="english", token_pattern=r"\b[a-zA-Z]{3,}\b",
        )),
        ("classify", SoftmaxRegressionCV(
            Cs=np.geomspace(0.03, 300, 12), l1_ratios=[1.0], cv=5, selection="one_se", n_jobs=2,
        )),
    ]).fit(train, y_train)
    words = pipeline["words"].get_feature_names_out()
    model = pipeline["classify"]
    used = np.count_nonzero(np.any(model.coef_ != 0, axis=0))
    print(f"{len(train)} texts to fit, {len(test)} held out, {len(words)} words, "
          f"{len(model.classes_)} classes")
    print(f"C = {model.C_:.3g}: {used} words in the model, "
          f"{np.count_nonzero(model.coef_)} coefficients of {model.coef_.size}; "
          f"certified {model.dual_gap_ / model.objective_:.0e} from the optimum")
    proba = pipeline.predict_proba(test)
    shares = np.array([np.mean(y_train == label) for label in model.classes_])
    known = np.tile(shares, (len(test), 1))
    print(f"held out: log loss {log_loss(y_test, proba, labels=model.classes_):.3f} nats, "
          f"without the words {log_loss(y_test, known, labels=model.classes_):.3f}; "
          f"accuracy {np.mean(pipeline.predict(test) == y_test):.3f}\n")
    for label, found in words_for(model, words).items():
        print(f"  {label:24} {', '.join(found)}")
    if given.output:
        draw(given.output, model, words)


if __name__ == "__main__":
    main()
