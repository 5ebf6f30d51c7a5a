/* Optimizer steps over flat arrays. Plain loops: the compiler makes vectors of them.
 *
 * Formulas and the meaning of every hyper-parameter are Keras 3's; `hyper` holds them in the
 * order of the names at the head of each function. Decoupled weight decay comes first. */

/* learning_rate, momentum, nesterov, weight_decay; slots: velocity, if momentum is used. */
static void FN(sgd)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict velocity,
                    const double *hyper) {
    const REAL rate = (REAL)hyper[0], momentum = (REAL)hyper[1];
    const REAL keep = (REAL)(1 - hyper[0] * hyper[3]);
    if (!velocity) {
        for (int64_t i = 0; i < n; i++) p[i] = p[i] * keep - rate * g[i];
    } else if (hyper[2] != 0) {
        for (int64_t i = 0; i < n; i++) {
            velocity[i] = momentum * velocity[i] - rate * g[i];
            p[i] = p[i] * keep + (momentum * velocity[i] - rate * g[i]);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            velocity[i] = momentum * velocity[i] - rate * g[i];
            p[i] = p[i] * keep + velocity[i];
        }
    }
}

/* learning_rate, rho, momentum, epsilon, weight_decay; slots: mean square, velocity if used. */
static void FN(rmsprop)(int64_t n, REAL *restrict p, const REAL *restrict g,
                        REAL *restrict mean_square, REAL *restrict velocity, const double *hyper) {
    const REAL rate = (REAL)hyper[0], rho = (REAL)hyper[1], momentum = (REAL)hyper[2];
    const REAL rest = (REAL)(1 - hyper[1]), epsilon = (REAL)hyper[3];
    const REAL keep = (REAL)(1 - hyper[0] * hyper[4]);
    if (!velocity) {
        for (int64_t i = 0; i < n; i++) {
            mean_square[i] = rho * mean_square[i] + rest * g[i] * g[i];
            p[i] = p[i] * keep - rate * g[i] / REAL_SQRT(mean_square[i] + epsilon);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        mean_square[i] = rho * mean_square[i] + rest * g[i] * g[i];
        velocity[i] = momentum * velocity[i] + rate * g[i] / REAL_SQRT(mean_square[i] + epsilon);
        p[i] = p[i] * keep - velocity[i];
    }
}

/* learning_rate, epsilon, weight_decay; slots: accumulator. */
static void FN(adagrad)(int64_t n, REAL *restrict p, const REAL *restrict g,
                        REAL *restrict accumulator, const double *hyper) {
    const REAL rate = (REAL)hyper[0], epsilon = (REAL)hyper[1];
    const REAL keep = (REAL)(1 - hyper[0] * hyper[2]);
    for (int64_t i = 0; i < n; i++) {
        accumulator[i] += g[i] * g[i];
        p[i] = p[i] * keep - rate * g[i] / REAL_SQRT(accumulator[i] + epsilon);
    }
}

/* learning_rate, beta_1, beta_2, epsilon, step (from 1), weight_decay; slots: m, v. */
static void FN(adam)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict m,
                     REAL *restrict v, const double *hyper) {
    const double correction = sqrt(1 - pow(hyper[2], hyper[4])) / (1 - pow(hyper[1], hyper[4]));
    const REAL rate = (REAL)(hyper[0] * correction), epsilon = (REAL)hyper[3];
    const REAL rest_1 = (REAL)(1 - hyper[1]), rest_2 = (REAL)(1 - hyper[2]);
    const REAL keep = (REAL)(1 - hyper[0] * hyper[5]);
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * rest_1;
        v[i] += (g[i] * g[i] - v[i]) * rest_2;
        p[i] = p[i] * keep - rate * m[i] / (REAL_SQRT(v[i]) + epsilon);
    }
}

static void FN(update)(const fnn_update *u) {
    const int64_t n = u->n;
    void *p = u->parameter, *const *slots = u->slots;
    switch (u->kind) {
    case FNN_SGD: FN(sgd)(n, p, u->gradient, slots[0], u->hyper); break;
    case FNN_RMSPROP: FN(rmsprop)(n, p, u->gradient, slots[0], slots[1], u->hyper); break;
    case FNN_ADAGRAD: FN(adagrad)(n, p, u->gradient, slots[0], u->hyper); break;
    case FNN_ADAM: FN(adam)(n, p, u->gradient, slots[0], slots[1], u->hyper); break;
    }
}
