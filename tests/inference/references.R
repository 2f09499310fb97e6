# Reference numbers of R for tests/inference/test_r_references.py. Prints a Python module:
#
#     Rscript tests/inference/references.R > tests/inference/r_tables.py
#
# Packages: nnet, MASS, VGAM, sandwich. Coefficients are those of VGAM::vglm, which
# converges to rounding (Fisher scoring); those of nnet::multinom (BFGS), at its smallest reltol,
# are printed too. sandwich has no estfun and bread for either class, so both are defined here.
suppressPackageStartupMessages({
  library(nnet)
  library(MASS)
  library(VGAM)
})

options(digits = 15)

# Scores of each row, columns in the order of vcov(): class by class, the intercept first.
estfun.multinom <- function(x, ...) {
  design <- model.matrix(x)
  frame <- model.frame(x)
  labels <- model.response(frame)
  weight <- model.weights(frame)
  if (is.null(weight)) weight <- rep(1, nrow(design))
  residual <- (outer(as.integer(labels), seq_along(x$lev), "==") - fitted(x)) * weight
  do.call(cbind, lapply(seq_along(x$lev)[-1], function(k) residual[, k] * design))
}
bread.multinom <- function(x, ...) vcov(x) * nrow(model.matrix(x))
nobs.multinom <- function(object, ...) nrow(model.matrix(object))
registerS3method("estfun", "multinom", estfun.multinom, envir = asNamespace("sandwich"))
registerS3method("bread", "multinom", bread.multinom, envir = asNamespace("sandwich"))

# Python literals, lines of at most four numbers.
literal <- function(name, numbers) {
  text <- sprintf("%.10g", numbers)
  cat(sprintf("    \"%s\": [\n", name))
  for (start in seq(1, length(text), by = 4)) {
    some <- text[start:min(start + 3, length(text))]
    cat("        ", paste(some, collapse = ", "), ",\n", sep = "")
  }
  cat("    ],\n")
}

# do.call puts the formula itself into the call, which later functions evaluate elsewhere.
by_bfgs <- function(formula, data) {
  do.call(multinom, list(
    formula, data, Hess = TRUE, reltol = 1e-16, abstol = 0, maxit = 10000, trace = FALSE
  ))
}
# vglm warns of halved steps: the deviance is at its rounding floor before epsilon is met.
by_scoring <- function(formula, data) {
  do.call(vglm, list(formula, multinomial(refLevel = 1), data, epsilon = 1e-12, maxit = 100))
}

wald <- function(coefficients, covariance, index) {
  b <- coefficients[index]
  sum(b * solve(covariance[index, index], b))
}

# Everything of one model. `terms`: list of name to the columns of the design (from 1) of a term.
tables <- function(name, formula, data, terms, cluster) {
  fit <- by_bfgs(formula, data)
  scoring <- by_scoring(formula, data)
  n_rows <- length(fit$lev) - 1
  n_columns <- ncol(model.matrix(fit))
  # vglm's order is column by column; this is row by row.
  order <- as.vector(t(matrix(seq_len(n_rows * n_columns), n_rows)))
  b <- coef(scoring)[order]
  V <- vcov(scoring)[order, order]
  flat <- as.vector(t(coef(fit)))
  HC0 <- sandwich::sandwich(fit)
  clustered <- sandwich::vcovCL(fit, cluster = cluster, type = "HC0", cadjust = TRUE)
  cat(sprintf("%s = {\n", name))
  literal("vglm_params", b)
  literal("vglm_bse", sqrt(diag(V)))
  literal("multinom_params", flat)
  literal("multinom_bse", sqrt(diag(vcov(fit))))
  literal("HC0_bse", sqrt(diag(HC0)))
  literal("cluster_bse", sqrt(diag(clustered)))
  literal("HC0_first_row", HC0[1, ])
  literal("cluster_first_row", clustered[1, ])
  literal("llf_deviance_aic", c(logLik(scoring), deviance(fit), AIC(fit)))
  # margeff gives an array (columns, classes, rows) of derivatives of probabilities.
  literal("dydx", as.vector(apply(margeff(scoring)[-1, , , drop = FALSE], c(1, 2), mean)))
  for (term in names(terms)) {
    smaller <- by_scoring(update(formula, paste(". ~ . -", term)), data)
    ratio <- VGAM::lrtest(scoring, smaller)@Body
    index <- as.vector(outer(terms[[term]], (seq_len(n_rows) - 1) * n_columns, "+"))
    literal(paste0("term_", term), c(
      ratio[2, "Chisq"], ratio[2, "Pr(>Chisq)"], wald(b, V, index), wald(flat, HC0, index),
      wald(flat, clustered, index)
    ))
  }
  cat("}\n")
}

cat('"""Numbers of R; printed by references.R, whose first lines say how. Do not edit.\n\n')
cat(sprintf("%s, nnet %s, VGAM %s, sandwich %s.\n\"\"\"\n\n", R.version.string,
            packageVersion("nnet"), packageVersion("VGAM"), packageVersion("sandwich")))
cat("# MASS::housing$Freq: Sat changes fastest, then Infl, Type and Cont.\nFREQUENCIES = [\n")
for (start in seq(1, 72, by = 18)) {
  cat("    ", paste(housing$Freq[start:(start + 17)], collapse = ", "), ",\n", sep = "")
}
cat("]\n")

# A row for each observation. The clusters are the 24 cells of the table.
rows <- housing[rep(seq_len(nrow(housing)), housing$Freq), ]
rows$Sat <- factor(rows$Sat, ordered = FALSE)
tables(
  "HOUSING", Sat ~ Infl + Type + Cont, rows, list(Infl = 2:3, Type = 4:6, Cont = 7),
  interaction(rows$Infl, rows$Type, rows$Cont)
)
# Both columns of the sepals would separate setosa: multinom gives errors of 1.8 without a word.
tables("IRIS", Species ~ Sepal.Length, iris, list(Sepal.Length = 2), (seq_len(150) - 1) %% 30)
