/* The float32 build of the kernels: its types and the constants of its elementary functions. */
#define REAL float
#define INT int32_t
#define REAL_IS_FLOAT 1
#define REAL_SUFFIX f32
#define REAL_SQRT sqrtf
#define REAL_POW powf
#define REAL_ABS fabsf
#define REAL_MAX FLT_MAX
#define REAL_TINY FLT_MIN /* the smallest normal number */

#define SIGN_FREE 0x7fffffff
#define EXPONENT_MASK 0x7f800000
#define EXPONENT_SHIFT 23
#define EXPONENT_BIAS 127
#define SQRT_HALF_BITS 0x3f3504f3
#define LEADING_HALF (~(INT)0xfff) /* clears 12 of 24 bits: the square of the rest is exact */

#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define EXP_LOWEST -110.0f      /* exp(x) and x exp(x) are 0 from here down */
#define EXP_NORMAL -87.0f       /* exp(x) is a normal number from here up */
#define EXP_HIGHEST 89.0f       /* exp is infinite from here up */
#define LN2_HIGH 0.693359375f   /* n * LN2_HIGH is exact for every exponent n */
#define LN2_LOW -2.12194440e-4f
#define TANH_HIGHEST 10.0f /* tanh is 1 from here up */
#define GELU_HIGHEST 14.5f /* the normal tail is 0 from here up */
#define ERFC_CENTRE 1.5f
#define ROOT_HIGHEST 1.8e19f /* whose square is not infinite */
#define TANH_SHRINK_NEAR 1.5f /* where the polynomial ends */

/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2, minimax: error 5e-10 of exp(r) - 1. One coefficient
 * less would do for exp, but not for tanh. */
#define EXP_POLYNOMIAL                                                                           \
    0.5, 0.1666666567325592, 0.041666485369205475, 0.008333565667271614, 0.0013933010632172227,  \
        0.00019744090968742967
/* (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= 1/3, by weighted least squares: error 6e-9 of the
 * logarithm. */
#define LOG_POLYNOMIAL                                                                           \
    0.666664183139801, 0.4002212882041931, 0.27984708547592163, 0.28119683265686035
/* 2 (a + 1.5) exp(a^2 / 2) P(X > a) - 1 in (a - 1.5) / (a + 1.5), 0 <= a <= 14.5, by weighted
 * least squares: error 1e-8 of P. */
#define ERFC_POLYNOMIAL                                                                          \
    0.23468400537967682, -0.3901989161968231, -0.1149914413690567, 0.03579195961356163,          \
        0.03528629615902901, 0.00798493716865778, -0.0048882560804486275, -0.005449960939586163, \
        -0.002057101344689727, 0.0005444796988740563, 0.0009253756143152714,                     \
        0.0002785607648547739, -7.819846359780058e-06
/* (x^3 / (x - tanh(x)) - x^2 - 3) / x^2 in x^2, |x| <= 1.5, by Chebyshev interpolation: error 2e-9
 * of x - tanh(x). */
#define TANH_SHRINK_POLYNOMIAL                                                                   \
    0.20000000298023224, -0.005714228842407465, 0.0002537640684749931, -1.1942961464228574e-05,  \
        4.585770057019545e-07
