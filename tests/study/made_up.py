"""Results of runs that never took place, for the tests of the report and its pictures."""


def create_result(variant, seed, accuracy, error_per_digit=(0.02,) * 10):
    return {
        "variant": variant,
        "seed": seed,
        "accuracy": accuracy,
        "error_per_digit": list(error_per_digit),
        "accuracy_after_epoch": [0.5, accuracy + 0.001, accuracy],
        "seconds": 10.0 * seed,
    }


def get_stuck_errors(*digits):
    """Errors of a run that misses these digits."""
    return [0.98 if digit in digits else 0.02 for digit in range(10)]
