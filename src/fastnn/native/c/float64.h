/* The float64 build of the kernels: its types and the constants of its elementary functions. */
#define REAL double
#define INT int64_t
#define REAL_IS_FLOAT 0
#define REAL_SUFFIX f64
#define REAL_SQRT sqrt
#define REAL_MAX DBL_MAX

#define SIGN_FREE 0x7fffffffffffffff
#define EXPONENT_MASK 0x7ff0000000000000
#define EXPONENT_SHIFT 52
#define EXPONENT_BIAS 1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define LEADING_HALF (~(INT)0x7ffffff) /* clears 27 of 53 bits: the square of the rest is exact */

#define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer */
#define EXP_LOWEST -746.0              /* exp is 0 from here down, infinite from EXP_HIGHEST up */
#define EXP_HIGHEST 710.0
#define LN2_HIGH 0.693145751953125 /* n * LN2_HIGH is exact for every exponent n */
#define LN2_LOW 1.42860682030941723212e-6
#define TANH_HIGHEST 20.0 /* tanh is 1 from here up */
#define GELU_HIGHEST 39.0 /* the normal tail is 0 from here up */
#define ERFC_CENTRE 4.0

/* Chebyshev fits: (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, error 1.1e-16. */
#define EXP_POLYNOMIAL                                                                           \
    0.5000000000000001, 0.16666666666666667, 0.041666666666624128, 0.0083333333333300618,        \
        0.0013888888917213717, 0.00019841269863053617, 2.4801521295954375e-5,                    \
        2.7557268459997065e-6, 2.7620088445409748e-7, 2.5100385495510319e-8
/* (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= 0.1716, error 2.1e-18. */
#define LOG_POLYNOMIAL                                                                           \
    0.66666666666666666, 0.4000000000000088, 0.28571428570801957, 0.22222222392089008,           \
        0.18181795600060792, 0.15386241881938596, 0.13268714792348097, 0.13087236196659622
/* (1 + 2a) exp(a^2) erfc(a) in (a - 4) / (a + 4), 0 <= a <= 28, error 2e-18. */
#define ERFC_POLYNOMIAL                                                                          \
    1.2329951186255525, -0.13962111684056252, 0.015379652102619558, 0.068097054254693236,        \
        -0.10103906603629459, 0.093732834998330223, -0.066330365812409509,                       \
        0.037167515537770254, -0.016197734055994488, 0.0050319699757531763,                      \
        -0.00075777329736691464, -0.00019925668432389152, 0.00015062169704678354,                \
        -2.4399244283129877e-5, -1.1222046316669004e-5, 5.7097847609665056e-6,                   \
        2.9377854943443787e-7, -8.2546997448711614e-7, 7.471952780500971e-8,                     \
        1.1005996198640058e-7, -1.7999475459031421e-8, -1.4091982822555755e-8,                   \
        1.8684873854735191e-9, 1.2637828580421369e-9
