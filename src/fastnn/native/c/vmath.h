/* Elementary functions over vectors, one source for all widths and both float types.
 *
 * exp by Cody and Waite's reduction x = n ln 2 + r and a polynomial in r; log through
 * s = f / (2 + f) as in fdlibm; tanh by expm1, so that small arguments keep their relative
 * accuracy; the normal tail by a polynomial in (a - c) / (a + c) times exp(-x^2 / 2), with x^2
 * taken in two parts. NaN passes through everything. */

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Horner's rule over coefficients of rising degree. */
INLINE vec FN(polynomial)(const REAL *coefficients, const int count, vec x) {
    vec y = FN(splat)(coefficients[count - 1]);
    UNROLL
    for (int i = count - 2; i >= 0; i--) y = y * x + coefficients[i];
    return y;
}

/* exp(r) - 1 for |r| <= ln(2) / 2. */
INLINE vec FN(small_expm1)(vec r) {
    static const REAL c[] = {EXP_POLYNOMIAL};
    return r + r * r * FN(polynomial)(c, COUNT(c), r);
}

/* 2^n for a normal result. */
INLINE vec FN(power_of_two)(ivec n) { return (vec)((n + EXPONENT_BIAS) << EXPONENT_SHIFT); }

/* The nearest integer to x / ln 2, as integer and, in *rounded, as float. */
INLINE ivec FN(nearest_exponent)(vec x, vec *rounded) {
    const vec magic = FN(splat)(ROUND_MAGIC);
    const vec shifted = x * (REAL)1.4426950408889634 + magic;
    *rounded = shifted - magic;
    return (ivec)shifted - (ivec)magic;
}

/* exp(high + low) for a `low` that is small beside `high`. */
INLINE vec FN(exp_of_sum)(vec high, vec low) {
    high = FN(at_least)(FN(at_most)(high, EXP_HIGHEST), EXP_LOWEST);
    vec rounded;
    const ivec n = FN(nearest_exponent)(high + low, &rounded);
    const vec r = (high - rounded * LN2_HIGH) - rounded * LN2_LOW + low;
    /* In two factors, so that results below the normal range are reached by rounding once. */
    const ivec half = n >> 1;
    return (1 + FN(small_expm1)(r)) * FN(power_of_two)(half) * FN(power_of_two)(n - half);
}

INLINE vec FN(exp)(vec x) { return FN(exp_of_sum)(x, (vec){0}); }

/* exp(x) - 1 for x <= 2 * TANH_HIGHEST. */
INLINE vec FN(expm1)(vec x) {
    x = FN(at_least)(x, -2 * TANH_HIGHEST);
    vec rounded;
    const ivec n = FN(nearest_exponent)(x, &rounded);
    const vec r = (x - rounded * LN2_HIGH) - rounded * LN2_LOW;
    const vec power = FN(power_of_two)(n);
    return power * FN(small_expm1)(r) + (power - 1);
}

/* log(x) for x > 0 in the normal range; NaN for NaN and infinity. */
INLINE vec FN(log)(vec x) {
    static const REAL c[] = {LOG_POLYNOMIAL};
    const ivec exponent = ((ivec)x - (INT)SQRT_HALF_BITS) >> EXPONENT_SHIFT;
    const vec f = (vec)((ivec)x - (exponent << EXPONENT_SHIFT)) - 1;
    const vec k = __builtin_convertvector(exponent, vec);
    const vec s = f / (2 + f), w = s * s, half_square = (REAL)0.5 * f * f;
    const vec tail = s * (half_square + w * FN(polynomial)(c, COUNT(c), w));
    return k * LN2_HIGH - ((half_square - (tail + k * LN2_LOW)) - f) + (x - x);
}

/* log(1 + x) for 0 <= x <= 1. */
INLINE vec FN(log1p)(vec x) {
    const vec u = 1 + x;
    return FN(log)(u) + (x - (u - 1)) / u;
}

INLINE vec FN(tanh)(vec x) {
    const vec e = FN(expm1)(2 * FN(at_most)(FN(abs)(x), TANH_HIGHEST));
    return FN(with_sign)(e / (e + 2), x);
}

INLINE vec FN(sigmoid)(vec x) {
    const vec e = FN(exp)(-FN(abs)(x));
    return FN(select)(x < (vec){0}, e, FN(splat)(1)) / (1 + e);
}

INLINE vec FN(softplus)(vec x) { return FN(relu)(x) + FN(log1p)(FN(exp)(-FN(abs)(x))); }

/* P(X > a) of the standard normal distribution for 0 <= a <= GELU_HIGHEST; *density is its
 * density at a times sqrt(2 pi). */
INLINE vec FN(normal_tail)(vec a, vec *density) {
    static const REAL c[] = {ERFC_POLYNOMIAL};
    const vec leading = (vec)((ivec)a & LEADING_HALF);
    *density = FN(exp_of_sum)((REAL)-0.5 * leading * leading,
                              (REAL)-0.5 * (a - leading) * (a + leading));
    const vec t = a * (REAL)0.70710678118654752;
    const vec q = (t - ERFC_CENTRE) / (t + ERFC_CENTRE);
    return (REAL)0.5 * *density * FN(polynomial)(c, COUNT(c), q) / (1 + 2 * t);
}
