/* Optimizer steps over flat arrays. Plain loops, but for Adam: the compiler makes vectors of them.
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

/* a / b, b >= 0. */
#if defined(__AVX512F__) && REAL_IS_FLOAT
#define NAN_OR_INFINITE 0x99 /* the classes of vfpclassps */
/* Square roots and divisions take turns in one unit; a reciprocal of 14 bits and a step of Newton's
 * method keep out of it. A step of Adam takes 0.25 ns for a weight so, 0.40 with a division; its
 * error is at most 2.8 ULP, in place of 2.4. Where b is zero or infinite this fails, and only there
 * it is divided. */
INLINE vec FN(quotient)(vec a, vec b) {
    const vec estimate = _mm512_rcp14_ps(b), inverse = estimate + estimate * (1 - b * estimate);
    const __mmask16 failed = _mm512_fpclass_ps_mask(inverse, NAN_OR_INFINITE);
    const vec result = FN(rounded)(a * inverse);
    return failed ? (vec)_mm512_mask_blend_ps(failed, result, a / b) : result;
}
#else
INLINE vec FN(quotient)(vec a, vec b) { return a / b; }
#endif

/* learning_rate, beta_1, beta_2, epsilon, step (from 1), weight_decay; slots: m, v and, where it is
 * used in place of v (AMSGrad), the largest v so far. */
static void FN(adam)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict m,
                     REAL *restrict v, REAL *restrict largest, const double *hyper) {
    const double correction = sqrt(1 - pow(hyper[2], hyper[4])) / (1 - pow(hyper[1], hyper[4]));
    const REAL rate = (REAL)(hyper[0] * correction), epsilon = (REAL)hyper[3];
    const REAL rest_1 = (REAL)(1 - hyper[1]), rest_2 = (REAL)(1 - hyper[2]);
    const REAL keep = (REAL)(1 - hyper[0] * hyper[5]);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec gradient = FN(load_columns)(g + i, n - i);
        const vec kept = FN(rounded)(FN(load_columns)(p + i, n - i) * keep);
        vec mean = FN(load_columns)(m + i, n - i), square = FN(load_columns)(v + i, n - i);
        mean += (gradient - mean) * rest_1;
        square += (gradient * gradient - square) * rest_2;
        FN(store_columns)(m + i, mean, n - i);
        FN(store_columns)(v + i, square, n - i);
        if (largest) {
            square = FN(larger)(square, FN(load_columns)(largest + i, n - i));
            FN(store_columns)(largest + i, square, n - i);
        }
        const vec step = FN(quotient)(rate * mean, FN(sqrt)(square) + epsilon);
        FN(store_columns)(p + i, kept - step, n - i);
    }
}

/* The larger of two numbers, NaN if one of them is. */
INLINE REAL FN(larger_of)(REAL a, REAL b) { return a >= b || a != a ? a : b; }

/* As rmsprop, with the variance in place of the mean square; one slot more: mean. */
static void FN(centered_rmsprop)(int64_t n, REAL *restrict p, const REAL *restrict g,
                                 REAL *restrict mean_square, REAL *restrict velocity,
                                 REAL *restrict mean, const double *hyper) {
    const REAL rate = (REAL)hyper[0], rho = (REAL)hyper[1], momentum = (REAL)hyper[2];
    const REAL rest = (REAL)(1 - hyper[1]), epsilon = (REAL)hyper[3];
    const REAL keep = (REAL)(1 - hyper[0] * hyper[4]);
    for (int64_t i = 0; i < n; i++) {
        mean_square[i] = rho * mean_square[i] + rest * g[i] * g[i];
        mean[i] = rho * mean[i] + rest * g[i];
        const REAL variance = mean_square[i] - mean[i] * mean[i];
        REAL increment = rate * g[i] / REAL_SQRT(variance + epsilon);
        if (velocity) {
            increment += momentum * velocity[i];
            velocity[i] = increment;
        }
        p[i] = p[i] * keep - increment;
    }
}

/* learning_rate, rho, epsilon, weight_decay; slots: mean squares of gradients and of steps. */
static void FN(adadelta)(int64_t n, REAL *restrict p, const REAL *restrict g,
                         REAL *restrict gradients, REAL *restrict steps, const double *hyper) {
    const REAL rate = (REAL)hyper[0], rho = (REAL)hyper[1], epsilon = (REAL)hyper[2];
    const REAL rest = (REAL)(1 - hyper[1]), keep = (REAL)(1 - hyper[0] * hyper[3]);
    for (int64_t i = 0; i < n; i++) {
        gradients[i] = rho * gradients[i] + rest * g[i] * g[i];
        const REAL step = REAL_SQRT(steps[i] + epsilon) * g[i] / REAL_SQRT(gradients[i] + epsilon);
        steps[i] = rho * steps[i] + rest * step * step;
        p[i] = p[i] * keep - rate * step;
    }
}

/* learning_rate, beta_1, beta_2, epsilon, step (from 1), weight_decay; slots: m, u. */
static void FN(adamax)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict m,
                       REAL *restrict u, const double *hyper) {
    const REAL rate = (REAL)(hyper[0] / (1 - pow(hyper[1], hyper[4])));
    const REAL rest = (REAL)(1 - hyper[1]), beta_2 = (REAL)hyper[2], epsilon = (REAL)hyper[3];
    const REAL keep = (REAL)(1 - hyper[0] * hyper[5]);
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * rest;
        u[i] = FN(larger_of)(beta_2 * u[i], REAL_ABS(g[i]));
        p[i] = p[i] * keep - rate * m[i] / (u[i] + epsilon);
    }
}

/* learning_rate, beta_1, beta_2, epsilon, step (from 1), momentum_product, weight_decay;
 * slots: m, v. */
static void FN(nadam)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict m,
                      REAL *restrict v, const double *hyper) {
    const double now = hyper[1] * (1 - 0.5 * pow(0.96, hyper[4]));
    const double next = hyper[1] * (1 - 0.5 * pow(0.96, hyper[4] + 1));
    const REAL of_m = (REAL)(hyper[0] * next / (1 - hyper[5] * next));
    const REAL of_g = (REAL)(hyper[0] * (1 - now) / (1 - hyper[5]));
    const REAL correction = (REAL)(1 / sqrt(1 - pow(hyper[2], hyper[4])));
    const REAL rest_1 = (REAL)(1 - hyper[1]), rest_2 = (REAL)(1 - hyper[2]);
    const REAL epsilon = (REAL)hyper[3], keep = (REAL)(1 - hyper[0] * hyper[6]);
    for (int64_t i = 0; i < n; i++) {
        m[i] += (g[i] - m[i]) * rest_1;
        v[i] += (g[i] * g[i] - v[i]) * rest_2;
        p[i] = p[i] * keep -
               (of_m * m[i] + of_g * g[i]) / (REAL_SQRT(v[i]) * correction + epsilon);
    }
}

INLINE void FN(ftrl_steps)(const int square_root, int64_t n, REAL *restrict p,
                           const REAL *restrict g, REAL *restrict accumulator,
                           REAL *restrict linear, const double *hyper) {
    const REAL per_rate = (REAL)(1 / hyper[0]), power = (REAL)-hyper[1], l1 = (REAL)hyper[2];
    const REAL offset = (REAL)(2 * hyper[3] + hyper[5] / hyper[0]), shrink = (REAL)(2 * hyper[4]);
    const REAL keep = (REAL)(1 - hyper[0] * hyper[6]);
    for (int64_t i = 0; i < n; i++) {
        const REAL w = p[i] * keep, before = accumulator[i], now = before + g[i] * g[i];
        const REAL scale_before = square_root ? REAL_SQRT(before) : REAL_POW(before, power);
        const REAL scale = square_root ? REAL_SQRT(now) : REAL_POW(now, power);
        const REAL z = linear[i] + (g[i] + shrink * w - (scale - scale_before) * per_rate * w);
        const REAL bounded = z > l1 ? l1 : z < -l1 ? -l1 : z;
        accumulator[i] = now;
        linear[i] = z;
        p[i] = (bounded - z) / (scale * per_rate + offset);
    }
}

/* learning_rate, learning_rate_power, l1_regularization_strength, l2_regularization_strength,
 * l2_shrinkage_regularization_strength, beta, weight_decay; slots: accumulator, linear. */
static void FN(ftrl)(int64_t n, REAL *p, const REAL *g, REAL *accumulator, REAL *linear,
                     const double *hyper) {
    if (hyper[0] == 0) return; /* the formula divides by it */
    if (hyper[1] == -0.5)
        FN(ftrl_steps)(1, n, p, g, accumulator, linear, hyper);
    else
        FN(ftrl_steps)(0, n, p, g, accumulator, linear, hyper);
}

/* learning_rate, beta_1, beta_2, weight_decay; slots: m. */
static void FN(lion)(int64_t n, REAL *restrict p, const REAL *restrict g, REAL *restrict m,
                     const double *hyper) {
    const REAL rate = (REAL)hyper[0], keep = (REAL)(1 - hyper[0] * hyper[3]);
    const REAL beta_1 = (REAL)hyper[1], rest_1 = (REAL)(1 - hyper[1]);
    const REAL beta_2 = (REAL)hyper[2], rest_2 = (REAL)(1 - hyper[2]);
    for (int64_t i = 0; i < n; i++) {
        const REAL c = beta_1 * m[i] + rest_1 * g[i];
        const REAL sign = c > 0 ? 1 : c < 0 ? -1 : c; /* NaN of NaN */
        p[i] = p[i] * keep - rate * sign;
        m[i] = beta_2 * m[i] + rest_2 * g[i];
    }
}

static void FN(accumulate)(int64_t n, REAL *restrict sum, const REAL *restrict g) {
    for (int64_t i = 0; i < n; i++) sum[i] += g[i];
}

/* momentum. Of a sum of two products the compiler could fuse either, one in whole vectors and the
 * other in what remains: results would depend on where a range ends. */
static void FN(moving_average)(int64_t n, REAL *restrict average, const REAL *restrict x,
                               const double *hyper) {
    const REAL momentum = (REAL)hyper[0];
    for (int64_t i = 0; i < n; i++) average[i] = x[i] + momentum * (average[i] - x[i]);
}

static void FN(update)(const fnn_update *u) {
    const int64_t n = u->n;
    void *p = u->parameter, *const *slots = u->slots;
    const void *g = u->gradient;
    const double *hyper = u->hyper;
    switch (u->kind) {
    case FNN_SGD: FN(sgd)(n, p, g, slots[0], hyper); break;
    case FNN_RMSPROP:
        if (slots[2])
            FN(centered_rmsprop)(n, p, g, slots[0], slots[1], slots[2], hyper);
        else
            FN(rmsprop)(n, p, g, slots[0], slots[1], hyper);
        break;
    case FNN_ADAGRAD: FN(adagrad)(n, p, g, slots[0], hyper); break;
    case FNN_ADAM: FN(adam)(n, p, g, slots[0], slots[1], slots[2], hyper); break;
    case FNN_ADADELTA: FN(adadelta)(n, p, g, slots[0], slots[1], hyper); break;
    case FNN_ADAMAX: FN(adamax)(n, p, g, slots[0], slots[1], hyper); break;
    case FNN_NADAM: FN(nadam)(n, p, g, slots[0], slots[1], hyper); break;
    case FNN_FTRL: FN(ftrl)(n, p, g, slots[0], slots[1], hyper); break;
    case FNN_LION: FN(lion)(n, p, g, slots[0], hyper); break;
    case FNN_ACCUMULATE: FN(accumulate)(n, p, g); break;
    case FNN_MOVING_AVERAGE: FN(moving_average)(n, p, g, hyper); break;
    }
}
