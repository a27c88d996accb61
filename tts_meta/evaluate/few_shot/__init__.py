"""The few-shot benchmark: compares methods on the same speakers, sentences and inner steps."""
