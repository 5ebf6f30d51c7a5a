/* The float32 build of the kernels: its types and the constants of its elementary functions. */
#define REAL float
#define INT int32_t
#define REAL_IS_FLOAT 1
#define REAL_SUFFIX f32
#define REAL_SQRT sqrtf
#define REAL_MAX FLT_MAX

#define SIGN_FREE 0x7fffffff
#define EXPONENT_MASK 0x7f800000
#define EXPONENT_SHIFT 23
#define EXPONENT_BIAS 127
#define SQRT_HALF_BITS 0x3f3504f3
#define LEADING_HALF (~(INT)0xfff) /* clears 12 of 24 bits: the square of the rest is exact */

#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define EXP_LOWEST -104.0f      /* exp is 0 from here down, and infinite from EXP_HIGHEST up */
#define EXP_HIGHEST 89.0f
#define LN2_HIGH 0.693359375f /* n * LN2_HIGH is exact for every exponent n */
#define LN2_LOW -2.12194440e-4f
#define TANH_HIGHEST 10.0f  /* tanh is 1 from here up */
#define GELU_HIGHEST 14.5f  /* the normal tail is 0 from here up */
#define ERFC_CENTRE 2.0f

/* Chebyshev fits: (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, error 7e-8. */
#define EXP_POLYNOMIAL                                                                           \
    0.5, 0.16666576989698776, 0.041666554617204574, 0.0083631790527225774, 0.0013926183587713495
/* (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= 0.1716, error 1.2e-9. */
#define LOG_POLYNOMIAL 0.6666666655430018, 0.40000122000816881, 0.2855080255327671, 0.2333096405177204
/* (1 + 2a) exp(a^2) erfc(a) in (a - 2) / (a + 2), 0 <= a <= 10.5, error 1.5e-9. */
#define ERFC_POLYNOMIAL                                                                          \
    1.2769783823067076, -0.092763814822355805, -0.16603048495117275, 0.16405087960761196,        \
        -0.05421843722837164, -0.0080297842599010608, 0.008712785678741647,                      \
        0.0012506210333167137, -0.0014301499271922352, -0.00040183451642194527,                  \
        0.0001778078769999818, 8.3838182124330982e-5
