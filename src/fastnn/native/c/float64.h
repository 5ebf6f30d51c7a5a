/* The float64 build of the kernels: its types and the constants of its elementary functions. */
#define REAL double
#define INT int64_t
#define REAL_IS_FLOAT 0
#define REAL_SUFFIX f64
#define REAL_SQRT sqrt
#define REAL_POW pow
#define REAL_ABS fabs
#define REAL_MAX DBL_MAX
#define REAL_TINY DBL_MIN /* the smallest normal number */

#define SIGN_FREE 0x7fffffffffffffff
#define EXPONENT_MASK 0x7ff0000000000000
#define EXPONENT_SHIFT 52
#define EXPONENT_BIAS 1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define LEADING_HALF (~(INT)0x7ffffff) /* clears 27 of 53 bits: the square of the rest is exact */

#define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer */
#define EXP_LOWEST -760.0              /* exp(x) and x exp(x) are 0 from here down */
#define EXP_NORMAL -708.0              /* exp(x) is a normal number from here up */
#define EXP_HIGHEST 710.0              /* exp is infinite from here up */
#define LN2_HIGH 0.693145751953125     /* n * LN2_HIGH is exact for every exponent n */
#define LN2_LOW 1.42860682030941723212e-6
#define TANH_HIGHEST 20.0 /* tanh is 1 from here up */
#define GELU_HIGHEST 39.0 /* the normal tail is 0 from here up */
#define ERFC_CENTRE 3.0
#define ROOT_HIGHEST 1.3e154 /* whose square is not infinite */
#define TANH_SHRINK_NEAR 1.5 /* where the polynomial ends */

/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2, minimax: error 2.4e-17 of exp(r) - 1. */
#define EXP_POLYNOMIAL                                                                           \
    0.5, 0.16666666666666602, 0.04166666666661983, 0.008333333333388366, 0.001388888892058471,   \
        0.00019841269709475139, 2.4801516236717184e-05, 2.7557424824915577e-06,                  \
        2.762227734179497e-07, 2.50460338637595e-08
/* (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= 1/3, by weighted least squares: error 2e-18 of the
 * logarithm. */
#define LOG_POLYNOMIAL                                                                           \
    0.666666666666664, 0.4000000000013264, 0.2857142855009689, 0.22222223872503688,              \
        0.18181746149420636, 0.15386533607612532, 0.13301088129087826, 0.12106721564483307,      \
        0.0833159263466521, 0.1704346094876672
/* 2 (a + 3) exp(a^2 / 2) P(X > a) - 1 in (a - 3) / (a + 3), 0 <= a <= 39, by weighted
 * least squares: error 3e-17 of P. */
#define ERFC_POLYNOMIAL                                                                          \
    0.45816738026674597, -1.018663963834979, 0.4600354399492114, -0.09452605028593072,           \
        -0.02092573404680729, 0.013945242480496675, 0.002055184521774096,                        \
        -0.0020916572380478304, -0.0005131507291888364, 0.00030878885109763296,                  \
        0.00015762557610949208, -2.6491520148846003e-05, -4.137928980312447e-05,                 \
        -7.03792843152613e-06, 7.283298239825768e-06, 4.5202326265940716e-06,                    \
        8.637439917504425e-09, -1.1992253612174154e-06, -5.351583559497848e-07,                  \
        9.987974621066911e-08, 1.796316287060131e-07, 4.008442824270437e-08,                     \
        -2.1098409986317946e-08, -1.1097875841492443e-08, -1.1609639065275507e-09
/* (x^3 / (x - tanh(x)) - x^2 - 3) / x^2 in x^2, |x| <= 1.5, by Chebyshev interpolation: error 2e-17
 * of x - tanh(x). */
#define TANH_SHRINK_POLYNOMIAL                                                                   \
    0.19999999999999996, -0.005714285714282809, 0.0002539682539255167, -1.2203669102100908e-05,  \
        5.987656009427304e-07, -2.9563930314536215e-08, 1.461578308127647e-09,                   \
        -7.163058515933338e-11, 3.2702099106060933e-12, -1.0400825027699774e-13
