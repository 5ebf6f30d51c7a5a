# The same functions with the same signatures as the reference, which a test makes sure of.

from fastnn.reference import activation_backward as activation_backward
from fastnn.reference import activation_forward as activation_forward
from fastnn.reference import adadelta as adadelta
from fastnn.reference import adagrad as adagrad
from fastnn.reference import adam as adam
from fastnn.reference import adamax as adamax
from fastnn.reference import all_finite as all_finite
from fastnn.reference import dense_backward as dense_backward
from fastnn.reference import dense_forward as dense_forward
from fastnn.reference import dropout as dropout
from fastnn.reference import ftrl as ftrl
from fastnn.reference import lion as lion
from fastnn.reference import log_softmax as log_softmax
from fastnn.reference import loss_backward as loss_backward
from fastnn.reference import loss_forward as loss_forward
from fastnn.reference import metric_values as metric_values
from fastnn.reference import min_max_norm as min_max_norm
from fastnn.reference import nadam as nadam
from fastnn.reference import non_neg as non_neg
from fastnn.reference import orthogonal_gradient as orthogonal_gradient
from fastnn.reference import orthogonal_penalty as orthogonal_penalty
from fastnn.reference import permutation as permutation
from fastnn.reference import rmsprop as rmsprop
from fastnn.reference import sgd as sgd
from fastnn.reference import softmax as softmax

ACTIVATION_CODES: dict[str, int]
LOSS_CODES: dict[str, int]
METRIC_CODES: dict[str, int]
UPDATE_CODES: dict[str, int]
