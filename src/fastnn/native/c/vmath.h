/* Elementary functions over vectors, one source for all widths and both float types.
 *
 * exp by Cody and Waite's reduction x = n ln 2 + r and a polynomial in r; log through
 * s = f / (2 + f) as in fdlibm; tanh by expm1, so that small arguments keep their relative
 * accuracy; the normal tail by a polynomial in (a - c) / (a + c) times exp(-a^2 / 2), with a^2
 * taken in two parts. In float32, AVX-512 has piecewise polynomials for tanh and the tail. NaN passes
 * through everything.
 *
 * The error is bounded by how often a whole result is rounded. So a product with exp(r) is taken
 * as m + m (exp(r) - 1), one rounding for product and sum where there is a fused multiply-add, and
 * what a denominator lost by rounding is put right in that small term. None of this needs the
 * fused operation: the bounds of tests/test_ulp.py hold without it.
 *
 * Polynomials in two chains of dependent operations instead of one took 10% off exp and 20% off
 * gelu in float64 under AVX2, and changed little in float32. More chains, or two or four vectors
 * per iteration, gained nothing worth the code. ns per element over 100,000 in C, on one thread of
 * an Ice Lake, float32 and float64, NumPy 2.4 for comparison:
 *
 *             AVX-512      AVX2         NumPy
 *     exp     0.24  0.66   0.41  1.1    0.43  1.1
 *     tanh    0.21  0.88   0.42  1.2    0.30  1.4
 *     gelu    0.58  2.6    1.2   3.4    18    26 (with the erf of SciPy) */

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

#if defined(__AVX512F__) && REAL_IS_FLOAT
#include "pieces.h"
/* Of each lane's piece, the number in this row. */
INLINE vec FN(of_pieces)(ivec pieces, const REAL *row) {
    return _mm512_permutex2var_ps(FN(load)(row), (__m512i)pieces, FN(load)(row + LANES));
}
/* The function of x >= 0 that this table holds: no division, and each coefficient takes a single
 * instruction for all lanes. */
INLINE vec FN(piecewise)(const REAL table[][PIECES], const int rows, vec x) {
    const ivec pieces = (ivec)((FN(uvec))FN(at_least)(x, FIRST_PIECE) >> PIECE_SHIFT);
    const vec t = x - FN(of_pieces)(pieces, table[0]);
    vec y = FN(of_pieces)(pieces, table[rows - 1]);
    UNROLL
    for (int i = rows - 2; i > 0; i--) y = y * t + FN(of_pieces)(pieces, table[i]);
    return y;
}
#endif

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

/* exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) for x <= 0; and exp(x), 0 in place of subnormal numbers. */
INLINE vec FN(expm1_below_zero)(vec x, vec *exp) {
    vec n;
    const vec s = FN(small_expm1)(FN(reduce)(FN(at_least)(x, EXP_NORMAL), &n));
    const vec power = FN(power_of_two)(n);
    *exp = FN(where)(~(x < FN(splat)(EXP_NORMAL)), power + power * s);
    return power * s + (power - 1);
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

/* log(1 + x) for -1/2 <= x <= 1. */
INLINE vec FN(log1p)(vec x) { return FN(log_of_sum)(x, (vec){0}); }

/* log(x) of every x but subnormal ones: NaN below zero. */
INLINE vec FN(log_of_any)(vec x) {
    const vec zero = {0}, infinity = FN(splat)(INFINITY);
    const vec above = FN(select)(x == infinity, x, FN(log)(x));
    return FN(select)(x > zero, above, FN(select)(x == zero, -infinity, FN(splat)(NAN)));
}

/* log(1 + x) for x >= 0, with what 1 + x lost by rounding. */
INLINE vec FN(log1p_of_any)(vec x) {
    const vec sum = 1 + x, lost = x - (sum - 1);
    return FN(select)(x == FN(splat)(INFINITY), x, FN(log)(sum) + lost / sum);
}

#ifdef PIECES
INLINE vec FN(tanh)(vec x) {
    const vec a = FN(at_most)(FN(abs)(x), TANH_HIGHEST);
    return FN(with_sign)(FN(piecewise)(FN(tanh_pieces), COUNT(FN(tanh_pieces)), a), x);
}
#else
/* h / (h + 1) with h = (exp(2|x|) - 1) / 2. One product reduces |x|, by halves of ln(2): where n is
 * large enough for its rounding to matter, tanh is too close to 1 to notice. */
INLINE vec FN(tanh)(vec x) {
    static const REAL c[] = {EXP_POLYNOMIAL};
    REAL of_double[COUNT(c)]; /* (exp(2 r) - 1 - 2 r) / 2 r^2 in r */
    UNROLL
    for (int i = 0; i < COUNT(c); i++) of_double[i] = c[i] * (REAL)(2 << i);
    const vec a = FN(at_most)(FN(abs)(x), TANH_HIGHEST);
    const vec shifted = a * (REAL)(2 * 1.4426950408889634) + ROUND_MAGIC, n = shifted - ROUND_MAGIC;
    const vec r = a - n * (REAL)(0.69314718055994531 / 2);
    const vec power = FN(power_of_two)(n), half = r + r * r * FN(polynomial)(of_double, COUNT(c), r);
    const vec h = power * half + ((REAL)0.5 * power - (REAL)0.5);
    return FN(with_sign)(h / (h + 1), x);
}
#endif

/* The sigmoid of x from e = exp(-|x|). */
INLINE vec FN(sigmoid_from)(vec e, vec x) {
    return FN(select)(x < (vec){0}, e, FN(splat)(1)) / (1 + e);
}
INLINE vec FN(sigmoid)(vec x) { return FN(sigmoid_from)(FN(exp)(-FN(abs)(x)), x); }

/* The functions below that take a `slope` give their derivative as well, which has most of the work
 * in common with them; where nobody asks for it nothing is left of it. */

/* x sigmoid(x). Below zero the numerator is x exp(x): rounded once, as exp(x) alone may be
 * subnormal and x exp(x) normal, and with what the denominator lost by rounding. */
INLINE vec FN(silu)(vec x, vec *slope) {
    x = FN(at_least)(x, EXP_LOWEST);
    vec n;
    const vec s = FN(small_expm1)(FN(reduce)(FN(at_least)(-FN(abs)(x), EXP_LOWEST), &n));
    const vec e = FN(scaled)(FN(splat)(1), s, n), sum = 1 + e, lost = e - (sum - 1);
    const vec sigmoid = FN(sigmoid_from)(e, x);
    const vec rest_of_1 = FN(select)(x < (vec){0}, 1 - sigmoid, e * sigmoid);
    *slope = sigmoid * (1 + FN(at_most)(x, REAL_MAX) * rest_of_1);
    const vec below_zero = FN(scaled)(x, s - lost, n);
    return FN(select)(x < (vec){0}, below_zero, x) / sum;
}

INLINE vec FN(softplus)(vec x, vec *slope) {
    const vec e = FN(exp)(-FN(abs)(x));
    *slope = FN(sigmoid_from)(e, x);
    return FN(relu)(x) + FN(log1p)(e);
}
INLINE vec FN(log_sigmoid)(vec x) {
    return FN(at_most)(x, 0) - FN(log1p)(FN(exp)(-FN(abs)(x)));
}

/* x tanh(softplus(x)). With a = exp(-|x|) it is x (1 - c), c = 2 a^2 / (2 (a^2 + a) + 1), from zero
 * up and x a (1 - c), c = (a^2 + a) / ((a^2 + 2 a) + 2), below, where the product with a comes last,
 * as in silu. What the three sums lost by rounding is put right in c, for which one digit of the
 * reciprocal of its denominator, 4 or 5 where c matters most, is enough. */
INLINE vec FN(mish)(vec x, vec *slope) {
    x = FN(at_least)(x, EXP_LOWEST);
    vec n;
    const vec s = FN(small_expm1)(FN(reduce)(FN(at_least)(-FN(abs)(x), EXP_LOWEST), &n));
    const vec a = FN(scaled)(FN(splat)(1), s, n), twice = 2 * a, square = a * a;
    const ivec below = x < (vec){0};
    const vec product = a + square, lost = square - (product - a);
    const vec numerator = FN(select)(below, product, 2 * square);
    const vec base = FN(select)(below, FN(splat)(2), FN(splat)(1));
    const vec rest = FN(select)(below, twice + square, 2 * product);
    const vec lost_rest = FN(select)(below, square - (rest - twice), 2 * lost);
    const vec sum = base + rest, lost_sum = lost_rest + (rest - (sum - base));
    const vec c = numerator / sum;
    const vec more = (REAL)0.21 * (FN(where)(below, lost) - c * lost_sum);
    const vec finite = FN(at_most)(x, REAL_MAX);
    const vec t = FN(select)(below, a - a * c, 1 - c), rest_of_1 = FN(select)(below, 1 - t, c);
    *slope = t + finite * FN(sigmoid_from)(a, x) * (rest_of_1 * (1 + t));
    return FN(select)(below, FN(scaled)(x, s - (c + (c * s + more)), n),
                      x - finite * (c + more));
}

/* x - tanh(x): near zero, where the two are almost the same, x^3 / (3 + x^2 + w), with w as in the
 * continued fraction of tanh; elsewhere |x| - 1 + 2 / (exp(2|x|) + 1). What the square and the
 * denominator lost by rounding is put right, for which one digit of 1 / (3 + r) is enough. */
INLINE vec FN(tanh_shrink)(vec x) {
    static const REAL c[] = {TANH_SHRINK_POLYNOMIAL};
    const vec a = FN(abs)(x), b = FN(at_most)(a, TANH_SHRINK_NEAR), square = FN(rounded)(b * b);
    const vec r = square + square * FN(polynomial)(c, COUNT(c), square);
    const vec sum = 3 + r, lost = r - (sum - 3);
    const ivec is_near = a < FN(splat)(TANH_SHRINK_NEAR);
    const vec quotient = FN(select)(is_near, square, FN(splat)(2)) /
                         FN(select)(is_near, sum, FN(exp)(2 * a) + 1);
    const vec all_lost = FN(lost_by_square)(b, square) - quotient * lost;
    const vec mended = all_lost * ((REAL)0.32 - (REAL)0.056 * r);
    const vec far = FN(with_sign)((a - 1) + quotient, x);
    return FN(select)(is_near, x * (quotient + mended), far);
}

/* x P(X < x) of the standard normal distribution, which is x less, or plus, a P(X > a) with a = |x|.
 * That is a w exp(-a^2 / 2) with w from pieces or, where there are none, m (1 + p) in place of a w
 * with m = a / (2 a + 2 c), and p a polynomial in q = (a - c) / (a + c) = 4 m - 1. The derivative is
 * P(X < x) and x times the density. */
INLINE vec FN(gelu)(vec x, vec *slope) {
    const vec a = FN(at_most)(FN(abs)(x), GELU_HIGHEST);
    const vec square = FN(rounded)(a * a), high = (REAL)-0.5 * square;
    const vec low = (REAL)-0.5 * FN(lost_by_square)(a, square);
    vec n;
    FN(reduce)(high, &n);
    const vec r = (high - n * LN2_HIGH) + (low - n * LN2_LOW);

#ifdef PIECES
    const vec w = FN(piecewise)(FN(tail_pieces), COUNT(FN(tail_pieces)), a), m = a * w;
    const vec t = FN(small_expm1)(r), z = t;
#else
    static const REAL c[] = {ERFC_POLYNOMIAL};
    const vec twice = 2 * a, larger = FN(at_least)(twice, 2 * ERFC_CENTRE);
    const vec smaller = FN(at_most)(twice, 2 * ERFC_CENTRE);
    const vec sum = larger + smaller, lost = smaller - (sum - larger);
    const vec m = a / sum, q = 4 * m - 1;
    const vec p = FN(polynomial)(c, COUNT(c), q);

    /* 1 + t is exp(r) times sum / (sum + lost). */
    const vec w = (1 - q) * (REAL)(0.25 / ERFC_CENTRE); /* 1 / sum */
    const vec beyond = FN(exp_beyond_line)(r) - lost * w;
    const vec t = r + beyond, z = (p + r) + (t * p + beyond);
#endif
    const vec tail = FN(scaled)(w, z, n), probability = FN(select)(x < (vec){0}, tail, 1 - tail);
    const vec density = (REAL)0.39894228040143268 * FN(scaled)(FN(splat)(1), t, n);
    *slope = probability + FN(with_sign)(a, x) * density;
    return FN(relu)(x) - FN(scaled)(m, z, n);
}
