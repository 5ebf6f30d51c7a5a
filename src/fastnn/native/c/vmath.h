/* Elementary functions over vectors, one source for all widths and both float types.
 *
 * exp by Cody and Waite's reduction x = n ln 2 + r and a polynomial in r; log through
 * s = f / (2 + f) as in fdlibm; tanh by expm1, so that small arguments keep their relative
 * accuracy; the normal tail by a polynomial in (a - c) / (a + c) times exp(-a^2 / 2), with a^2
 * taken in two parts. NaN passes through everything.
 *
 * The error is bounded by how often a whole result is rounded. So a product with exp(r) is taken
 * as m + m (exp(r) - 1), one rounding for product and sum where there is a fused multiply-add, and
 * what a denominator lost by rounding is put right in that small term. None of this needs the
 * fused operation: the bounds of tests/test_ulp.py hold without it.
 *
 * Polynomials in two chains of dependent operations instead of one took 10% off exp and 20% off
 * gelu in float64 under AVX2, and changed little in float32. More chains, or two or four vectors
 * per iteration, gained nothing worth the code. ns per element over 100,000 in C, on one thread of
 * a Zen 4, float32 and float64, NumPy 2.4 for comparison:
 *
 *             AVX-512      AVX2         NumPy
 *     exp     0.19  0.53   0.30  0.81   0.45  0.80
 *     tanh    0.25  0.67   0.36  0.96   0.36  1.66
 *     gelu    0.69  2.1    1.0   2.9    17    17 (with the erf of SciPy) */

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Coefficients of rising degree. Horner's rule on the even and the odd ones apart: two short
 * chains of dependent operations instead of a long one. */
INLINE vec FN(polynomial)(const REAL *coefficients, const int count, vec x) {
    const vec square = x * x;
    vec last = FN(splat)(coefficients[count - 1]), other = FN(splat)(coefficients[count - 2]);
    UNROLL
    for (int i = count - 3; i >= 0; i--) {
        const vec next = last * square + coefficients[i];
        last = other;
        other = next;
    }
    return last * x + other;
}

INLINE vec FN(root)(vec x) {
    UNROLL
    for (int64_t i = 0; i < LANES; i++) x[i] = REAL_SQRT(x[i]);
    return x;
}

/* exp(r) - 1 - r for |r| <= ln(2) / 2. */
INLINE vec FN(exp_beyond_line)(vec r) {
    static const REAL c[] = {EXP_POLYNOMIAL};
    return r * r * FN(polynomial)(c, COUNT(c), r);
}
INLINE vec FN(small_expm1)(vec r) { return r + FN(exp_beyond_line)(r); }

/* x = n ln 2 + r: r, and n as a float. */
INLINE vec FN(reduce)(vec x, vec *n) {
    const vec shifted = x * (REAL)1.4426950408889634 + ROUND_MAGIC;
    *n = shifted - ROUND_MAGIC;
    return (x - *n * LN2_HIGH) - *n * LN2_LOW;
}

INLINE vec FN(exp)(vec x) {
    vec n;
    const vec r = FN(reduce)(FN(at_least)(FN(at_most)(x, EXP_HIGHEST), EXP_LOWEST), &n);
    return FN(scaled)(FN(splat)(1), FN(small_expm1)(r), n);
}

/* exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) for a normal 2^n. */
INLINE vec FN(expm1_of_reduced)(vec n, vec r) {
    const vec power = FN(power_of_two)(n);
    return power * FN(small_expm1)(r) + (power - 1);
}

/* exp(x) - 1 for x <= 0; it is -1 from -2 * TANH_HIGHEST down. */
INLINE vec FN(expm1_below_zero)(vec x) {
    vec n;
    const vec r = FN(reduce)(FN(at_least)(x, -2 * TANH_HIGHEST), &n);
    return FN(expm1_of_reduced)(n, r);
}

/* log(1 + f) + more for 1 + f from sqrt(1/2) to 2, by 2 atanh(s) with s = f / (2 + f). */
INLINE vec FN(log_of_sum)(vec f, vec more) {
    static const REAL c[] = {LOG_POLYNOMIAL};
    const vec s = f / (2 + f), w = s * s, half_square = (REAL)0.5 * f * f;
    const vec tail = s * (half_square + w * FN(polynomial)(c, COUNT(c), w));
    return f - (half_square - (tail + more));
}

/* log(x) for x > 0 in the normal range; NaN for NaN and infinity. */
INLINE vec FN(log)(vec x) {
    /* x = 2^k (1 + f). The exponent is handled as unsigned and made a float by the magic number:
     * AVX2 neither shifts signed 64-bit integers nor converts them. */
    const FN(uvec) one = (FN(uvec))FN(splat)(1), magic = (FN(uvec))FN(splat)(ROUND_MAGIC);
    const FN(uvec) exponent = ((FN(uvec))x + (one - SQRT_HALF_BITS)) >> EXPONENT_SHIFT;
    const vec f = (vec)((FN(uvec))x + one - (exponent << EXPONENT_SHIFT)) - 1;
    const vec k = (vec)(exponent + magic) - (ROUND_MAGIC + EXPONENT_BIAS);
    return k * LN2_HIGH + FN(log_of_sum)(f, k * LN2_LOW) + (x - x);
}

/* log(1 + x) for 0 <= x <= 1. */
INLINE vec FN(log1p)(vec x) { return FN(log_of_sum)(x, (vec){0}); }

/* e / (e + 2) with e = exp(2|x|) - 1. One product reduces 2|x|: where n is large enough for its
 * rounding to matter, tanh is too close to 1 to notice. */
INLINE vec FN(tanh)(vec x) {
    const vec twice = 2 * FN(at_most)(FN(abs)(x), TANH_HIGHEST);
    const vec shifted = twice * (REAL)1.4426950408889634 + ROUND_MAGIC, n = shifted - ROUND_MAGIC;
    const vec e = FN(expm1_of_reduced)(n, twice - n * (REAL)0.69314718055994531);
    return FN(with_sign)(e / (e + 2), x);
}

INLINE vec FN(sigmoid)(vec x) {
    const vec e = FN(exp)(-FN(abs)(x));
    return FN(select)(x < (vec){0}, e, FN(splat)(1)) / (1 + e);
}

/* x sigmoid(x). Below zero the numerator is x exp(x): rounded once, as exp(x) alone may be
 * subnormal and x exp(x) normal, and with what the denominator lost by rounding. */
INLINE vec FN(silu)(vec x) {
    x = FN(at_least)(x, EXP_LOWEST);
    vec n;
    const vec s = FN(small_expm1)(FN(reduce)(FN(at_least)(-FN(abs)(x), EXP_LOWEST), &n));
    const vec e = FN(scaled)(FN(splat)(1), s, n), sum = 1 + e, lost = e - (sum - 1);
    const vec below_zero = FN(scaled)(x, s - lost, n);
    return FN(select)(x < (vec){0}, below_zero, x) / sum;
}

INLINE vec FN(softplus)(vec x) { return FN(relu)(x) + FN(log1p)(FN(exp)(-FN(abs)(x))); }

/* a P(X > a) of the standard normal distribution for 0 <= a <= GELU_HIGHEST; *density is its
 * density at a times sqrt(2 pi). It is m (1 + p) exp(-a^2 / 2) with m = a / (2 a + 2 c), and p a
 * polynomial in q = (a - c) / (a + c) = 4 m - 1. */
INLINE vec FN(normal_tail_times)(vec a, vec *density) {
    static const REAL c[] = {ERFC_POLYNOMIAL};
    const vec leading = (vec)((ivec)a & LEADING_HALF);
    const vec high = (REAL)-0.5 * leading * leading;
    const vec low = (REAL)-0.5 * (a - leading) * (a + leading);
    vec n;
    FN(reduce)(high + low, &n);
    const vec r = (high - n * LN2_HIGH) + (low - n * LN2_LOW);

    const vec twice = 2 * a, larger = FN(at_least)(twice, 2 * ERFC_CENTRE);
    const vec smaller = FN(at_most)(twice, 2 * ERFC_CENTRE);
    const vec sum = larger + smaller, lost = smaller - (sum - larger);
    const vec m = a / sum, q = 4 * m - 1;
    const vec p = FN(polynomial)(c, COUNT(c), q);

    /* 1 + t is exp(r) times sum / (sum + lost); 1 / sum is (1 - q) / 4 c. */
    const vec beyond = FN(exp_beyond_line)(r) - lost * ((1 - q) * (REAL)(0.25 / ERFC_CENTRE));
    const vec t = r + beyond;
    *density = FN(scaled)(FN(splat)(1), t, n);
    return FN(scaled)(m, (p + r) + (t * p + beyond), n);
}
