"""Bounds on coefficients: words that speak for classes, and none against.

With coefficients that are not negative, a word adds to the logits of the classes that it speaks
for, and a prediction is a sum of such votes that can be listed. Counts of words in the texts of
`text_classification.py`, with and without the bounds.

    python examples/nonnegative_text.py
"""

import time

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from text_classification import docstrings, frequent, words_for

from softmax_reg import SoftmaxRegression

N_SHOWN = 5    # words of a prediction that are listed


def votes(model, counts, words):
    """The words of a text that add most to the logit of its predicted class."""
    predicted = int(np.flatnonzero(model.classes_ == model.predict(counts)[0])[0])
    row = counts.toarray()[0] * model.coef_[predicted]
    order = np.argsort(-row, kind="stable")[:N_SHOWN]
    return model.classes_[predicted], [(words[j], float(row[j])) for j in order if row[j] > 0]


def main():
    texts, labels = frequent(*docstrings())
    train, test, y_train, y_test = train_test_split(
        texts, labels, test_size=0.25, stratify=labels, random_state=0
    )
    vectorizer = CountVectorizer(
        min_df=10, stop_words="english", token_pattern=r"\b[a-zA-Z]{3,}\b"
    )
    X = vectorizer.fit_transform(train).astype(float)
    X_test = vectorizer.transform(test).astype(float)
    words = vectorizer.get_feature_names_out()
    print(f"{X.shape[0]} texts, {X.shape[1]} words, {len(np.unique(labels))} classes\n")
    print(f"{'bounds':12} {'log loss':>9} {'accuracy':>9} {'at 0':>6} {'gap':>6} "
          f"{'seconds':>8}")
    for name, bounds in (("none", None), ("(0, inf)", (0, np.inf))):
        started = time.perf_counter()
        model = SoftmaxRegression(C=0.1, bounds=bounds).fit(X, y_train)
        seconds = time.perf_counter() - started
        loss = log_loss(y_test, model.predict_proba(X_test), labels=model.classes_)
        print(f"{name:12} {loss:9.3f} {model.score(X_test, y_test):9.3f} "
              f"{np.mean(model.coef_ == 0):6.1%} {model.dual_gap_ / model.objective_:6.0e} "
              f"{seconds:8.1f}")
    assert model.coef_.min() == 0
    print("\nWords that speak for a class:")
    for label, found in list(words_for(model, words).items())[:6]:
        print(f"  {label:20} {', '.join(found)}")
    print("\nVotes of the first texts held out, beside the intercept:")
    for i in range(3):
        label, found = votes(model, X_test[i:i + 1], words)
        told = ", ".join(f"{word} {vote:.2f}" for word, vote in found)
        print(f"  {y_test[i]} predicted as {label}: {told}")


if __name__ == "__main__":
    main()
