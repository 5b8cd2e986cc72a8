"""The parts of the study: variants, trainings, results, report."""
